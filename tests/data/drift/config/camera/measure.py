# What the instrument sets before any pipeline; the comments name the fields.
config.threshold = 5.5  # -> hidden
config.fitter.order = 4  # -> hidden
config.colors["y"] = 0.6  # -> colors.y
config.masks = ["BAD", "VIGNETTED"]  # -> hidden
