"""From what the camera sees to pictures to train on: captured by hand, or kept because the model was unsure.

folders = ClassFolders("bricks", ["brick", "plate"])        # what `legoclf retrain --image_dir bricks` takes
with CameraReader(source, session):                         # session: CaptureSession(folders)
    outcomes = session.take("brick")                        # file names, and why others were not kept

harvest = Harvest("harvested")                              # what `legoclf camera --harvest` has kept
for item in harvest.items():
    harvest.label(item.id, "brick", folders)                # or harvest.discard(item.id)
"""
