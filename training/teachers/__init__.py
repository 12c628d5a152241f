"""Labels for photographs by models that others trained."""
