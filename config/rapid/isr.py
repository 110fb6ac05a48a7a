# ISR of every Rapid Analysis pipeline.
#
# Each override says why latency or the observers need it; the science is that
# of Alert Production.  FirstLook and RapidAnalysis load the same file.  The
# check of a detector's back-side voltage is not among them: it stays Alert
# Production's.

# The brighter-fatter correction changes the shape of stars by less than what
# observers act on, and takes longer than all of ISR.  Alert Production has it
# off as well.
config.doBrighterFatter = False

# Amplifier offsets only matter for faint, extended sources.  Alert Production
# does not measure them either.
config.doAmpOffset = False

# Gain corrections are those of a detector's restart; the photon transfer curve's
# gains are good to a per cent, which is enough to judge an exposure.  Alert
# Production applies them.
config.doCorrectGains = False

# These statistics are for the analysis of calibrations; Alert Production has
# them on.  The standard ones, on which the observers' metrics rest, are on in
# both.
config.doCalculateStatistics = False
config.doStandardStatistics = True

# The pictures of the focal plane and of the detector are made of these.  Alert
# Production makes none.
config.doBinnedExposures = True
