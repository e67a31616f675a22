"""Amazon Rekognition's protocol for faces, so that its clients work against this service."""
