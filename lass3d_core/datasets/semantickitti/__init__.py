"""SemanticKITTI and every data set in its layout."""
