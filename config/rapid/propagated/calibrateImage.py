# Calibration of an image: what Rapid Analysis offers to Alert Production.
#
# RapidAnalysis.yaml and Prompt.yaml load this file.  It holds what makes Alert
# Production faster or tells observers more, and leaves its science as it is.

# Fewer reference stars are enough to find the pointing; where there are many,
# the matcher's time grows with their number.  Alert Production has 4096 for
# LSSTCam, 8192 for the other cameras.
config.astrometry.matcher.maxRefObjects = 2048

# The second fit of the sky projection changes it by less than the third would
# be worth waiting for.  Alert Production makes three.
config.astrometry.maxIter = 2

# The covariance of each source's position takes time in the loops over both
# catalogues, and nothing before association reads it.  Alert Production has it
# on.
config.do_include_astrometric_errors = False

# Positions in the focal plane: what observers draw the stars of all detectors
# at, without a camera.  Alert Production does not measure them.
config.star_measurement.plugins.names |= {"base_FPPosition"}

# Third and fourth moments show coma, trefoil and their like, which the second
# moments of the PSF do not; those of the PSF stars are measured before the
# model is made.  Alert Production does not measure them.
config.star_measurement.plugins.names |= {"ext_shapeHSM_HigherOrderMomentsSource"}
config.psf_source_measurement.plugins.names |= {"ext_shapeHSM_HigherOrderMomentsSource"}
