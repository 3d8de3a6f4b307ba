// Serves a SavedModel on stdin and stdout, without Python: a stand-in for tensorflow_model_server
// that test_conformance.py drives. Tensors are found through the signatures, never by guessed names.
//
//   run SIGNATURE N     then N times "NAME BYTES" and so many bytes of a TensorProto
//                       → "OK N", then N times the same of the outputs; or "CODE sentence"
//   signatures          → "OK N", then N times "SIGNATURE BYTES" and a SignatureDef
//   memory              → "OK resident peak", bytes; the peak is that since the last "memory"
//
// A file of such requests is replayed with: conformance FOLDER < requests

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tensorflow/cc/saved_model/loader.h"
#include "tensorflow/core/framework/tensor.h"
#include "tensorflow/core/framework/tensor.pb.h"
#include "tensorflow/core/protobuf/meta_graph.pb.h"
#include "tensorflow/core/public/session.h"

namespace {

using Blobs = std::vector<std::pair<std::string, std::string>>;

std::string ReadLine() {
  std::string line;
  if (!std::getline(std::cin, line)) std::exit(0);
  return line;
}

Blobs ReadBlobs(int count) {
  Blobs blobs;
  for (int i = 0; i < count; ++i) {
    std::istringstream words(ReadLine());
    std::string name;
    size_t size = 0;
    words >> name >> size;
    std::string bytes(size, '\0');
    std::cin.read(&bytes[0], size);
    blobs.emplace_back(std::move(name), std::move(bytes));
  }
  return blobs;
}

void Answer(const Blobs& blobs) {
  std::cout << "OK " << blobs.size() << '\n';
  for (const auto& [name, bytes] : blobs) std::cout << name << ' ' << bytes.size() << '\n' << bytes;
}

void Answer(const absl::Status& status) {
  std::string message(status.message());
  std::replace(message.begin(), message.end(), '\n', ' ');
  std::cout << absl::StatusCodeToString(status.code()) << ' ' << message << '\n';
}

// A field of /proc/self/status, in bytes.
long Status(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(field + ":", 0) == 0) return std::stol(line.substr(field.size() + 1)) * 1024;
  }
  return -1;
}

absl::StatusOr<Blobs> Run(const tensorflow::SavedModelBundle& model, const std::string& name,
                          const Blobs& inputs) {
  const auto found = model.GetSignatures().find(name);
  if (found == model.GetSignatures().end()) return absl::NotFoundError("no signature " + name);
  const tensorflow::SignatureDef& signature = found->second;

  std::vector<std::pair<std::string, tensorflow::Tensor>> feeds;
  for (const auto& [input, bytes] : inputs) {
    const auto info = signature.inputs().find(input);
    tensorflow::TensorProto proto;
    tensorflow::Tensor tensor;
    if (info == signature.inputs().end()) return absl::InvalidArgumentError("no input " + input);
    if (!proto.ParseFromString(bytes) || !tensor.FromProto(proto)) {
      return absl::InvalidArgumentError(input + " is no TensorProto");
    }
    feeds.emplace_back(info->second.name(), std::move(tensor));
  }
  std::vector<std::string> names, fetches;
  // A map of protocol buffers has no order.
  for (const auto& [output, info] : std::map<std::string, tensorflow::TensorInfo>(
           signature.outputs().begin(), signature.outputs().end())) {
    names.push_back(output);
    fetches.push_back(info.name());
  }
  std::vector<tensorflow::Tensor> results;
  absl::Status status = model.GetSession()->Run(feeds, fetches, {}, &results);
  if (!status.ok()) return status;

  Blobs outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    tensorflow::TensorProto proto;
    if (results[i].dtype() == tensorflow::DT_STRING) {
      results[i].AsProtoField(&proto);  // what Python's make_ndarray reads
    } else {
      results[i].AsProtoTensorContent(&proto);
    }
    outputs.emplace_back(names[i], proto.SerializeAsString());
  }
  return outputs;
}

}  // namespace

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  if (argc != 2) {
    std::cerr << "usage: conformance FOLDER < requests\n";
    return 2;
  }
  tensorflow::SavedModelBundle model;
  const absl::Status status = tensorflow::LoadSavedModel(
      tensorflow::SessionOptions(), tensorflow::RunOptions(), argv[1],
      {"serve"}, &model);
  if (!status.ok()) {
    std::cerr << status << '\n';
    return 1;
  }
  for (;;) {
    std::cout.flush();
    std::istringstream words(ReadLine());
    std::string command, signature;
    int count = 0;
    words >> command;
    if (command == "run" && words >> signature >> count) {
      const absl::StatusOr<Blobs> outputs = Run(model, signature, ReadBlobs(count));
      if (outputs.ok()) {
        Answer(*outputs);
      } else {
        Answer(outputs.status());
      }
    } else if (command == "signatures") {
      Blobs signatures;
      for (const auto& [name, definition] : model.GetSignatures()) {
        signatures.emplace_back(name, definition.SerializeAsString());
      }
      Answer(signatures);
    } else if (command == "memory") {
      malloc_trim(0);  // what is free, but kept by the allocator, is no leak
      std::cout << "OK " << Status("VmRSS") << ' ' << Status("VmHWM") << '\n';
      std::ofstream("/proc/self/clear_refs") << "5";  // the peak begins anew
    } else {
      std::cerr << "no command: " << command << '\n';
      return 2;
    }
  }
}
