# ISR of dark exposures in RapidAnalysisDark.yaml; loaded after cp_verify's
# settings.

# Known defects are filled in, so that pictures and statistics show what is
# new.  cp_verify leaves darks as they are, and fills biases and flats in.
config.doInterpolate = True
