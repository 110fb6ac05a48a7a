# ISR of LSSTCam, as Alert Production runs it.
#
# The values are those of AP's resolved configuration (Science Pipelines of
# 2026); a test compares them.  The instrument applies this file before any
# pipeline's own overrides.

# Dead, of very poor charge transfer, or with gain and linearizer at odds.
config.badAmps = ["R42_S21_C07", "R03_S01_C10", "R03_S11_C00"]
config.cameraKeywordsToCompare = ["SEQNAME", "SEQFILE", "SEQCKSUM", "ODP", "AP0_RC"]

config.crosstalk.doQuadraticCrosstalkCorrection = True
config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0

config.ampOffset.ampEdgeMaxOffset = 10.0
config.brighterFatterCorrectionMethod = "ASTIER23"

# ITL sensors that show dips beside saturated columns: the dip's depth as a
# fraction of the background, the least width in pixels, and who has it.
_DIPS = (
    (0.0010, 15, "R01_S22 R02_S02 R02_S11 R02_S21 R03_S00 R03_S02 R10_S01 R41_S01 R43_S01"),
    (0.0015, 10, "R01_S10 R01_S11 R01_S20 R10_S10 R41_S00"),
    (0.0015, 13, "R01_S21 R03_S20 R10_S22"),
    (0.0025, 6, "R02_S10 R02_S12 R10_S02 R41_S21 R42_S02 R43_S11 R43_S20"),
    (0.0030, 8, "R01_S12"),
)
for _fraction, _width, _names in _DIPS:
    for _name in _names.split():
        _rule = type(config.overscanCamera.defaultDetectorConfig)()
        _rule.itlDipBackgroundFraction = _fraction
        _rule.itlDipMinWidth = _width
        config.overscanCamera.detectorRules[_name] = _rule
