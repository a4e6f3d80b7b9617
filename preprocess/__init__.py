"""Program one: looks at the images once and writes which texts belong to which points."""
