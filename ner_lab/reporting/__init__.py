"""Reports on studies: runs are read, compared, tested, and shown as tables, plots and a page."""
