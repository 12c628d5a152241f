"""Pictures with their truth: rendered banks, annotated photographs, mixed into batches."""
