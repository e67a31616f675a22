"""Videos on AWS Lambda: two functions, thin over the system's own decoder, engine and gallery."""
