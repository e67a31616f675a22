#!/bin/sh
# slim.sh: takes out of the virtual environment what no process of ours opens.
# A path that is not there is no error: roles differ in what they install, releases in what they ship.
set -eu
cd /opt/venv/lib/python3.11/site-packages

# The packages' own tests, and C headers and archives for who compiles against numpy.
find . -type d -name tests -prune -exec rm -rf {} +
rm -rf numpy/_core/include numpy/_core/lib numpy/random/lib numpy/f2py numpy/distutils

# kombu's own asynchronous client would use it; ours polls with boto3 and no process loads it.
rm -rf pycurl pycurl.libs pycurl-*

# Of scikit-image only a picture is wanted.
[ ! -d skimage ] || find skimage -mindepth 1 -maxdepth 1 ! -name data -exec rm -rf {} +

# ONNX Runtime's tools for making models, and its C library: the Python module carries the runtime.
rm -rf onnxruntime/transformers onnxruntime/tools onnxruntime/quantization \
       onnxruntime/datasets onnxruntime/backend onnxruntime/capi/libonnxruntime.so.*

# The descriptions of AWS services that nothing of ours calls: 400 of them. An operator's own calls
# to others belong into an image of his own; botocore says UnknownServiceError here.
[ ! -d botocore/data ] || find botocore/data -mindepth 1 -maxdepth 1 -type d \
  ! -name cloudformation ! -name cloudwatch ! -name dynamodb ! -name ec2 ! -name iam ! -name kms \
  ! -name lambda ! -name logs ! -name rekognition ! -name s3 ! -name service-quotas ! -name sns \
  ! -name sqs ! -name ssm ! -name sso ! -name sso-oidc ! -name sts -exec rm -rf {} +
