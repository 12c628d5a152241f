// Print what a stream of xpose-stream publishes: listen ENDPOINT [messages] [client.key_secret server.key]
// g++ -std=c++17 -DMSGPACK_NO_BOOST listen.cpp -lzmq -o listen     (Debian: cppzmq-dev libmsgpack-cxx-dev)
#include <array>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <msgpack.hpp>
#include <zmq.hpp>

using Pair = std::array<double, 2>;
using Triple = std::array<double, 3>;

struct Prompt {
    std::string name;
    int64_t version;
    MSGPACK_DEFINE_MAP(name, version);
};

struct Category {
    int64_t id;
    std::string name;
    std::vector<std::string> keypoints;
    std::vector<std::array<int64_t, 2>> edges;
    MSGPACK_DEFINE_MAP(id, name, keypoints, edges);
};

struct Track {
    int64_t id, category;
    double score, age;  // age: s
    std::string status;
    std::array<double, 4> box;                                  // px: x0 y0 x1 y1
    std::vector<std::optional<Pair>> keypoints, velocities, measured;  // px, px/s, px; nullopt: not known
    std::vector<std::string> keypoint_status;
    std::vector<std::optional<Triple>> covariances;             // px^2: xx xy yy
    std::optional<std::vector<std::optional<double>>> keypoint_scores;
    MSGPACK_DEFINE_MAP(id, category, score, age, status, box, keypoints, velocities, measured, keypoint_status,
                       covariances, keypoint_scores);
};

// Fields that are not listed are ignored, those of later releases too.
struct Message {
    int64_t version, sequence, frame, width, height, epoch;
    std::string camera, clock;
    double pts, captured_at, clock_uncertainty, published_at, latency_ms;  // s but for latency_ms
    Prompt prompt;
    std::vector<Category> categories;
    std::vector<Track> tracks;
    MSGPACK_DEFINE_MAP(version, sequence, frame, width, height, epoch, camera, clock, pts, captured_at,
                       clock_uncertainty, published_at, latency_ms, prompt, categories, tracks);
};

// The value of `name` in a file that `keys new` wrote.
std::string value(const std::string& path, const std::string& name) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        const auto at = line.find(name + " = \"");
        if (at != std::string::npos) return line.substr(at + name.size() + 4, 40);
    }
    throw std::runtime_error("there is no " + name + " in " + path);
}

int main(int count, char** given) try {
    if (count < 2) throw std::runtime_error("name an endpoint, such as tcp://127.0.0.1:5555");
    long left = count > 2 ? std::stol(given[2]) : -1;
    zmq::context_t context;
    zmq::socket_t socket(context, zmq::socket_type::sub);
    if (count > 4) {
        socket.set(zmq::sockopt::curve_publickey, value(given[3], "public-key"));
        socket.set(zmq::sockopt::curve_secretkey, value(given[3], "secret-key"));
        socket.set(zmq::sockopt::curve_serverkey, value(given[4], "public-key"));
    }
    socket.set(zmq::sockopt::subscribe, "tracks/");
    socket.connect(given[1]);
    for (; left; left -= left > 0) {
        zmq::message_t topic, payload;
        if (!socket.recv(topic) || !socket.recv(payload)) continue;
        const auto unpacked = msgpack::unpack(payload.data<char>(), payload.size());
        const auto message = unpacked.get().as<Message>();
        if (message.version != 1) throw std::runtime_error("this program reads version 1");
        std::cout << message.camera << " " << message.frame << ":";
        for (const auto& track : message.tracks) {
            std::cout << " " << track.id;
            if (!track.keypoints.empty() && track.keypoints[0])
                std::cout << " at " << (*track.keypoints[0])[0] << "," << (*track.keypoints[0])[1];
        }
        std::cout << std::endl;
    }
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
}
