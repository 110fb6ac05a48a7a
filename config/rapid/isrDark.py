# ISR of dark exposures; loaded after isr.py.
#
# As cp_verify's verifyDark has it, except where a line says otherwise.

# The dark current itself is what is measured, in electron per second; with
# the master dark subtracted only its change would be left.  (verifyDark
# subtracts it.)
config.doDark = False

# There is no light to flatten, too little charge to defer, and no bleed of a
# star to mask; a pixel that saturates in the dark is to be seen.
config.doFlat = False
config.doDeferredCharge = False
config.doSaturation = False
config.doSuspect = False
config.doE2VEdgeBleedMask = False
config.doITLEdgeBleedMask = False
config.doITLSatSagMask = False
config.doITLDipMask = False

# A detector that is off or noisy is what the exposure is to show.
config.doCheckUnprocessableData = False
config.bssVoltageMinimum = 0.0
config.ampNoiseThreshold = float("inf")

# Hot pixels are counted and shown as they are.
config.doInterpolate = False
config.doSetBadRegions = False

# The telescope points nowhere in particular.
config.expectWcs = False
