"""Parts that several methods share, and the parts of lass3d_plus. A part imports no method."""
