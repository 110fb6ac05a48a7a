# Made from $RA_PIPE_DIR/config/snapshots/LSSTComCam/SingleFrame.json#isr
# for lsst.ra.pipe.tasks.FirstLookIsrTask by `rapid snapshot --as-overrides`: do not edit,
# make it again.

_item = type(config.overscanCamera).detectorRules.itemtype
config.overscanCamera.detectorRules["R22_S00"] = _item()
config.overscanCamera.detectorRules["R22_S01"] = _item()
config.overscanCamera.detectorRules["R22_S10"] = _item()
config.overscanCamera.detectorRules["R22_S12"] = _item()
config.overscanCamera.detectorRules["R22_S21"] = _item()
config.overscanCamera.detectorRules["R22_S22"] = _item()
config.ampOffset.ampEdgeMaxOffset = 10.0
config.ampOffset.doApplyAmpOffset = True
config.bssVoltageMinimum = 0.0
config.crosstalk.doQuadraticCrosstalkCorrection = True
config.crosstalk.doSubtrahendMasking = True
config.crosstalk.minPixelToMask = 1.0
config.doBrighterFatter = False
config.overscanCamera.detectorRules["R22_S00"].itlDipBackgroundFraction = 0.0014
config.overscanCamera.detectorRules["R22_S00"].itlDipMinWidth = 14
config.overscanCamera.detectorRules["R22_S01"].itlDipBackgroundFraction = 0.0015
config.overscanCamera.detectorRules["R22_S01"].itlDipMinWidth = 18
config.overscanCamera.detectorRules["R22_S10"].itlDipBackgroundFraction = 0.00065
config.overscanCamera.detectorRules["R22_S10"].itlDipMinWidth = 13
config.overscanCamera.detectorRules["R22_S12"].itlDipBackgroundFraction = 0.0006
config.overscanCamera.detectorRules["R22_S12"].itlDipMinWidth = 18
config.overscanCamera.detectorRules["R22_S21"].itlDipBackgroundFraction = 0.0006
config.overscanCamera.detectorRules["R22_S21"].itlDipMinHeight = 30
config.overscanCamera.detectorRules["R22_S21"].itlDipMinWidth = 14
config.overscanCamera.detectorRules["R22_S22"].itlDipBackgroundFraction = 0.0026
config.overscanCamera.detectorRules["R22_S22"].itlDipMinWidth = 4

# Fields that FirstLookIsrTask does not have: binning.connections.inputData, binning.connections.inputName,
# binning.connections.outputData, binning.connections.outputName, binning.inputDimensions,
# binning.inputStorageClass, binning.saveLogOutput.
