# Calibration of an image, in Rapid Analysis only; loaded after
# propagated/calibrateImage.py.
#
# These change what the outputs are or how deep they go, so they are not offered
# to Alert Production.

# Pixels stay in electron, whether or not the photometric fit succeeds: pictures
# and sky levels of all exposures have one unit.  Alert Production's are in nJy.
config.do_calibrate_pixels = False

# The PSF is made of bright stars.  Detection for it begins at 50 sigma, not at
# Alert Production's 10, so that a dense field does not cost minutes.
config.psf_detection.thresholdValue = 50

# Deblending and measuring everything in a dense field takes minutes; a sample
# of the footprints calibrates as well.  As Alert Production; kept, since an
# answer in time depends on it.
config.do_downsample_footprints = True

# The threshold follows the density of the field.  As Alert Production; kept,
# since an answer in time depends on it.
config.do_adaptive_threshold_detection = True

# A background that is fitted again after detection takes tens of seconds in a
# dense field.  As Alert Production; kept, since an answer in time depends on it.
config.do_remeasure_star_background = False

# Spikes of bright stars are masked for the sake of faint sources nearby, which
# nobody here looks for.  Alert Production masks them for LSSTCam and LSSTComCam.
config.doMaskDiffractionSpikes = False

# The PSF model is evaluated every 250 pixels for the summary: its spread over
# the detector is smooth.  Alert Production does so every 96.
config.compute_summary_stats.psfGridSampling = 250

# The fit begins at the camera model in the repository, if there is one, which
# follows a change of the optics sooner than a release does.  Alert Production
# begins at that of the release.
config.useButlerCamera = True

# An image that is far out of focus or trailed is the one that observers ask
# about: it is to have a PSF, however poor.  So wide stars and those of which
# the centroid is flagged are candidates, and remain so in the fit.  Alert
# Production gives up such an image.
config.psf_measure_psf.starSelector["objectSize"].widthMax = 20.0
config.psf_measure_psf.starSelector["objectSize"].badFlags.remove("slot_Centroid_flag")
config.psf_measure_psf.psfDeterminer["psfex"].rejectFlaggedCentroids = False
