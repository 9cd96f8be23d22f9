"""What protoc makes of the .proto files beside it, committed so that nobody needs protoc.

Regenerate, in the root of the checkout (its own environment, because it is older than what we run with: code
of protobuf 5.27 runs with every later protobuf, and code of a later one would not run with 5.27):

    python3 -m venv /tmp/protoc && /tmp/protoc/bin/pip install -q grpcio-tools==1.66.2 && \
        /tmp/protoc/bin/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. \
        sidecar/hook/api/*.proto
"""
