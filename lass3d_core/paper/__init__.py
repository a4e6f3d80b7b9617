"""The paper's equations. Each has its only home here."""
