# ISR of LSSTComCam, as Alert Production runs it.
#
# The values are those of AP's resolved configuration (Science Pipelines of
# 2026); a test compares them.  The instrument applies this file before any
# pipeline's own overrides.

config.bssVoltageMinimum = 0.0

config.crosstalk.doQuadraticCrosstalkCorrection = True
config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0

config.ampOffset.ampEdgeMaxOffset = 10.0
config.ampOffset.doApplyAmpOffset = True

# ITL sensors that show dips beside saturated columns: the dip's depth as a
# fraction of the background, the least width and height in pixels.
_DIPS = {
    "R22_S00": (0.0014, 14, 50),
    "R22_S01": (0.0015, 18, 50),
    "R22_S10": (0.00065, 13, 50),
    "R22_S12": (0.0006, 18, 50),
    "R22_S21": (0.0006, 14, 30),
    "R22_S22": (0.0026, 4, 50),
}
for _name, (_fraction, _width, _height) in _DIPS.items():
    _rule = type(config.overscanCamera.defaultDetectorConfig)()
    _rule.itlDipBackgroundFraction = _fraction
    _rule.itlDipMinWidth = _width
    _rule.itlDipMinHeight = _height
    config.overscanCamera.detectorRules[_name] = _rule
