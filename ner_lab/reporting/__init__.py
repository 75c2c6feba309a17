"""Studies reported: runs read back, compared and tested, as tables, plots and a page."""
