"""What keeps a training safe: its state on the disk, the signals it is stopped by, numbers that are none."""
