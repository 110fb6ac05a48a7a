# Overrides of the second measurement; the comments name the fields.
config.fit.order = 1  # -> fit.order
config.plugins.names = ["flux"]  # -> plugins.names
config.selector.name = "by_shape"  # -> selector.name
config.threshold = 8.0  # -> threshold
