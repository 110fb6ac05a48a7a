# ISR of flat exposures; loaded after isr.py.
#
# The flat is divided by the master flat, so that dust and lamps that changed
# are seen; the metrics multiply it back where they want the level.  As
# cp_verify's verifyFlat has it, except where a line says otherwise.

# Bleeds of stars are not in a flat, but a flat that is too bright would be
# taken for them.
config.doE2VEdgeBleedMask = False
config.doITLEdgeBleedMask = False
config.doITLSatSagMask = False
config.doITLDipMask = False

# Saturated pixels stay masked: observers must see that a flat is too bright.
# (verifyFlat masks none.)
config.doSaturation = True
config.doSuspect = True

# A detector that is off or noisy is what the exposure is to show.
config.doCheckUnprocessableData = False
config.bssVoltageMinimum = 0.0
config.ampNoiseThreshold = float("inf")

# Known defects keep their values; bad regions are not filled in.  (verifyFlat
# interpolates them.)
config.doInterpolate = False
config.doSetBadRegions = False

# The telescope points nowhere in particular.
config.expectWcs = False
