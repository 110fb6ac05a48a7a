# ISR of LSSTCam's flat exposures in RapidAnalysisFlat.yaml; loaded after
# cp_verify's settings.

# Observers judge the screen and the projector by how light falls on the focal
# plane; divided by a master flat only what changed since would be left.
# cp_verify divides, and so does LATISS's pipeline.
config.doFlat = False
