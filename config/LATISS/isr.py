# ISR of LATISS, as Alert Production runs it.
#
# The values are those of AP's resolved configuration (Science Pipelines of
# 2026); a test compares them.  The instrument applies this file before any
# pipeline's own overrides.

config.bssVoltageMinimum = 0.0
config.cameraKeywordsToCompare = ["SEQNAME", "SEQFILE", "SEQCKSUM", "ODP", "AP0_RC", "TEMP_SET"]

config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0

config.doDeferredCharge = False

_amplifier = config.overscanCamera.defaultDetectorConfig.defaultAmpConfig
_amplifier.saturation = 120000.0
_amplifier.parallelOverscanConfig.doAbsoluteMaxDeviation = True
_amplifier.parallelOverscanConfig.doMedianSmoothingOutlierRejection = False
