"""The plain layout: folders and file formats that anybody can write. docs/your-data.md shows it."""
