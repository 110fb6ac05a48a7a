# Overrides in each of the ways there are; the comments name the fields.
config.plugins.names |= {"shape"}  # -> plugins.names
config.plugins["shape"].n_iterations = 20  # -> plugins.shape.n_iterations
config.plugins["flux"].radii = [2.0, 4.0, 8.0]  # -> plugins.flux.radii
config.plugins["flux"].limit = 22.5  # -> plugins.flux.limit
config.fitter.order = 5  # -> fitter.order
config.masks.append("NO_DATA")  # -> masks
config.colors["i"] = 0.4  # -> colors.i
config.colors["z"] = 0.5  # -> colors.z
config.fit.clip = 1.5  # -> fit.clip
config.selector["by_flux"].limit = 21.5  # -> selector.by_flux.limit
config.load("$DRIFT_TEST_DIR/config/nested.py")
for name in ("R00", "R01"):
    config.rules[name] = type(config).rules.itemtype()
    config.rules[name].weight = 2.0  # -> rules.R00.weight rules.R01.weight
