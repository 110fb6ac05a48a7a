# Made from $RA_PIPE_DIR/config/snapshots/LSSTCam/SingleFrame.json#isr
# for lsst.ra.pipe.tasks.FirstLookIsrTask by `rapid snapshot --as-overrides`: do not edit,
# make it again.

_item = type(config.overscanCamera).detectorRules.itemtype
config.overscanCamera.detectorRules["R01_S10"] = _item()
config.overscanCamera.detectorRules["R01_S11"] = _item()
config.overscanCamera.detectorRules["R01_S12"] = _item()
config.overscanCamera.detectorRules["R01_S20"] = _item()
config.overscanCamera.detectorRules["R01_S21"] = _item()
config.overscanCamera.detectorRules["R01_S22"] = _item()
config.overscanCamera.detectorRules["R02_S02"] = _item()
config.overscanCamera.detectorRules["R02_S10"] = _item()
config.overscanCamera.detectorRules["R02_S11"] = _item()
config.overscanCamera.detectorRules["R02_S12"] = _item()
config.overscanCamera.detectorRules["R02_S21"] = _item()
config.overscanCamera.detectorRules["R03_S00"] = _item()
config.overscanCamera.detectorRules["R03_S02"] = _item()
config.overscanCamera.detectorRules["R03_S20"] = _item()
config.overscanCamera.detectorRules["R10_S01"] = _item()
config.overscanCamera.detectorRules["R10_S02"] = _item()
config.overscanCamera.detectorRules["R10_S10"] = _item()
config.overscanCamera.detectorRules["R10_S22"] = _item()
config.overscanCamera.detectorRules["R41_S00"] = _item()
config.overscanCamera.detectorRules["R41_S01"] = _item()
config.overscanCamera.detectorRules["R41_S21"] = _item()
config.overscanCamera.detectorRules["R42_S02"] = _item()
config.overscanCamera.detectorRules["R43_S01"] = _item()
config.overscanCamera.detectorRules["R43_S11"] = _item()
config.overscanCamera.detectorRules["R43_S20"] = _item()
config.ampOffset.ampEdgeMaxOffset = 10.0
config.badAmps = ["R42_S21_C07", "R03_S01_C10", "R03_S11_C00"]
config.brighterFatterCorrectionMethod = "ASTIER23"
config.cameraKeywordsToCompare = ["SEQNAME", "SEQFILE", "SEQCKSUM", "ODP", "AP0_RC"]
config.crosstalk.doQuadraticCrosstalkCorrection = True
config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0
config.doBrighterFatter = False
config.overscanCamera.detectorRules["R01_S10"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R01_S10"].itlDipMinWidth = 10
config.overscanCamera.detectorRules["R01_S11"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R01_S11"].itlDipMinWidth = 10
config.overscanCamera.detectorRules["R01_S12"].itlDipBackgroundFraction = 0.003
config.overscanCamera.detectorRules["R01_S12"].itlDipMinWidth = 8
config.overscanCamera.detectorRules["R01_S20"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R01_S20"].itlDipMinWidth = 10
config.overscanCamera.detectorRules["R01_S21"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R01_S21"].itlDipMinWidth = 13
config.overscanCamera.detectorRules["R01_S22"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R02_S02"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R02_S10"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R02_S10"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R02_S11"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R02_S12"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R02_S12"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R02_S21"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R03_S00"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R03_S02"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R03_S20"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R03_S20"].itlDipMinWidth = 13
config.overscanCamera.detectorRules["R10_S01"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R10_S02"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R10_S02"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R10_S10"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R10_S10"].itlDipMinWidth = 10
config.overscanCamera.detectorRules["R10_S22"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R10_S22"].itlDipMinWidth = 13
config.overscanCamera.detectorRules["R41_S00"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R41_S00"].itlDipMinWidth = 10
config.overscanCamera.detectorRules["R41_S01"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R41_S21"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R41_S21"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R42_S02"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R42_S02"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R43_S01"].itlDipBackgroundFraction = 0.001
config.overscanCamera.detectorRules["R43_S11"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R43_S11"].itlDipMinWidth = 6
config.overscanCamera.detectorRules["R43_S20"].itlDipBackgroundFraction = 0.0025
config.overscanCamera.detectorRules["R43_S20"].itlDipMinWidth = 6

# Fields that FirstLookIsrTask does not have: binning.connections.inputData, binning.connections.inputName,
# binning.connections.outputData, binning.connections.outputName, binning.inputDimensions,
# binning.inputStorageClass, binning.saveLogOutput.
