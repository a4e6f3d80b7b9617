"""ScanNet and every RGB-D data set in its layout."""
