"""Asks a model that TensorFlow Serving serves, by REST or gRPC.

  python examples/serving_client.py --model=sst2 --rest=http://localhost:8501 \
    '{"text": ["a good film", "so dull"]}'
  python examples/serving_client.py --model=qnli --grpc=localhost:8500 \
    '{"text_a": ["Who wrote it?"], "text_b": ["Nobody knows."]}'

REST needs Python alone, gRPC also tensorflow-serving-api.
"""

import argparse
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request


def ask_rest(address, model, inputs, signature="text", timeout=60):
    """Returns the outputs of a model by name; a model with one output gives that alone.

    Args:
      address: of the server, such as "http://localhost:8501".
      model: its name there.
      inputs: lists by the names of the signature.
      signature: "text" or "serving_default".
      timeout: in seconds.

    Raises:
      OSError: if there is no server or it refuses the request; the message says why.
    """
    request = urllib.request.Request(
        f"{address}/v1/models/{urllib.parse.quote(model)}:predict",
        json.dumps({"signature_name": signature, "inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        raise OSError(_reason(error)) from error
    if not isinstance(answer, dict) or "outputs" not in answer:
        raise OSError(f"the server gave no outputs: {str(answer)[:200]}")
    return answer["outputs"]


def _reason(error):
    """Returns what the server says of an error, in its own JSON or as it is."""
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"]
    except (ValueError, TypeError, KeyError):
        return f"{error}: {text[:200]}"


def ask_grpc(address, model, inputs, signature="text", timeout=60):
    """Returns the outputs of a model by name, NumPy arrays.

    Args:
      address: of the server, such as "localhost:8500".
      model: its name there.
      inputs: lists or arrays by the names of the signature; ids are int32.
      signature: "text" or "serving_default".
      timeout: in seconds.

    Raises:
      OSError: if there is no server or it refuses the request; the message says why.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            outputs = stub.Predict(request, timeout=timeout).outputs
        except grpc.RpcError as error:
            raise OSError(error.details()) from error
    return {name: tf.make_ndarray(proto) for name, proto in outputs.items()}


def main(argv=None):
    """Sends one request and prints the answer as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=json.loads, help="lists by name, as JSON")
    parser.add_argument("--model", required=True, help="name of the model on the server")
    parser.add_argument("--signature", default="text", help="text or serving_default")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--rest", help="http://host:port")
    way.add_argument("--grpc", help="host:port")
    args = parser.parse_args(argv)
    try:
        if args.rest:
            answer = ask_rest(args.rest, args.model, args.inputs, args.signature)
        else:
            arrays = ask_grpc(args.grpc, args.model, args.inputs, args.signature)
            answer = {name: array.tolist() for name, array in arrays.items()}
    except (OSError, ValueError, TypeError, AttributeError, http.client.HTTPException) as error:
        sys.exit(f"serving_client: error: {error}")
    print(json.dumps(answer, indent=2, default=bytes.decode))


if __name__ == "__main__":
    main()
