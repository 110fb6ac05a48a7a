# Calibration of an image in FirstLook's pipelines of LATISS.
#
# Its pixels are half as wide as LSSTCam's, so that a circle of 12 of them is no
# wider than the seeing.  Alert Production's calibration flux of LATISS has this
# radius, too.
config.calibrationRadius = 35.0
