# ISR of bias exposures; loaded after isr.py.
#
# Of a bias the observers want to see what the master bias does not describe:
# it is subtracted, and nothing is hidden.  As cp_verify's verifyBias has it,
# except where a line says otherwise.

# No charge was collected: there is no dark current, no light to flatten, no
# charge that could be deferred or saturate, and no bleed of a star to mask.
config.doDark = False
config.doFlat = False
config.doDeferredCharge = False
config.doSaturation = False
config.doSuspect = False
config.doE2VEdgeBleedMask = False
config.doITLEdgeBleedMask = False
config.doITLSatSagMask = False
config.doITLDipMask = False

# A detector that is off or noisy is what a bias is to show, not a reason to
# stop or to leave an amplifier out: biases are taken with the back-side
# voltage off as well.
config.doCheckUnprocessableData = False
config.bssVoltageMinimum = 0.0
config.ampNoiseThreshold = float("inf")

# Pixels are shown as they are.  (verifyBias interpolates known defects.)
config.doInterpolate = False
config.doSetBadRegions = False

# The telescope points nowhere in particular.
config.expectWcs = False
