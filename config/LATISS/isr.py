# Made from $RA_PIPE_DIR/config/snapshots/LATISS/SingleFrame.json#isr
# for lsst.ra.pipe.tasks.FirstLookIsrTask by `rapid snapshot --as-overrides`: do not edit,
# make it again.

config.bssVoltageMinimum = 0.0
config.cameraKeywordsToCompare = ["SEQNAME", "SEQFILE", "SEQCKSUM", "ODP", "AP0_RC", "TEMP_SET"]
config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0
config.doBrighterFatter = False
config.doDeferredCharge = False
config.overscanCamera.defaultDetectorConfig.defaultAmpConfig.parallelOverscanConfig.doAbsoluteMaxDeviation = True
config.overscanCamera.defaultDetectorConfig.defaultAmpConfig.parallelOverscanConfig.doMedianSmoothingOutlierRejection = False
config.overscanCamera.defaultDetectorConfig.defaultAmpConfig.saturation = 120000.0

# Fields that FirstLookIsrTask does not have: binning.connections.inputData, binning.connections.inputName,
# binning.connections.outputData, binning.connections.outputName, binning.inputDimensions,
# binning.inputStorageClass, binning.saveLogOutput.
