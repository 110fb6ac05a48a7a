# ISR of every Rapid Analysis pipeline.
#
# Each override says why latency or the observers need it; the science is that
# of Alert Production.

# The brighter-fatter correction changes the shape of stars by less than what
# observers act on, and takes longer than all of ISR.  Alert Production has it
# off for LSSTCam as well.
config.doBrighterFatter = False

# Amplifier offsets only matter for faint, extended sources.  Alert Production
# measures and does not apply them.
config.doAmpOffset = False

# Gain corrections are those of a detector's restart; the photon transfer curve's
# gains are good to a per cent, which is enough to judge an exposure.
config.doCorrectGains = False

# These statistics are for the analysis of calibrations.  The standard ones, on
# which the observers' metrics rest, are on.
config.doCalculateStatistics = False
config.doStandardStatistics = True

# The pictures of the focal plane and of the detector are made of these.
config.doBinnedExposures = True
