// What a C++ program does in a day: streams, files, containers, clocks and
// chance, and an end that it did not plan.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <sys/stat.h>

struct Close {
    void operator()(std::FILE *f) const { std::fclose(f); }
};
using File = std::unique_ptr<std::FILE, Close>;

static File open(const std::string &path, const char *mode) {
    return File(std::fopen(path.c_str(), mode));
}

static void files(const std::string &top) {
    char text[32] = "";

    (void)mkdir(top.c_str(), 0777);
    for (int i = 0; i < 10; i++) {
        std::fputs(std::string(i * 100, 'x').c_str(), open(top + "/" + std::to_string(i), "w").get());
    }
    if (File f = open(top + "/new", "w+")) {
        std::fputs("0123456789", f.get());
        std::fseek(f.get(), 4, SEEK_SET);
        std::fputs("....", f.get());
        std::rewind(f.get());
        std::cout << std::fread(text, 1, sizeof(text), f.get()) << " " << text << "\n";
    }
    std::fputs("appended", open(top + "/new", "a").get());
    File f = open(top + "/new", "r");
    std::fseek(f.get(), 0, SEEK_END);
    std::cout << std::ftell(f.get()) << " renamed "
              << std::rename((top + "/4").c_str(), (top + "/four").c_str()) << " removed "
              << std::remove((top + "/5").c_str()) << " gone " << !open(top + "/5", "r")
              << " exclusive " << !open(top + "/6", "wx") << " outside " << !open("/etc/passwd", "r")
              << "\n";
}

static void chance() {
    std::random_device device;
    std::mt19937_64 numbers(device());
    std::unordered_map<std::string, uint64_t> words;

    for (int i = 0; i < 20; i++) {
        words["word " + std::to_string(numbers() % 1000)] = device();
    }
    for (const auto &[word, number] : words) {
        std::cout << word << " " << number << "\n";
    }
    std::cout << std::chrono::system_clock::now().time_since_epoch().count() << " "
              << std::chrono::steady_clock::now().time_since_epoch().count() << " "
              << static_cast<const void *>(std::make_unique<int>(1).get()) << "\n";
}

int main(int argc, char **argv) {
    std::vector<std::string> args(argv + 1, argv + argc);
    std::map<std::string, int> seen;
    std::string line;

    for (const auto &arg : args) {
        std::cout << "argument " << arg << "\n";
    }
    std::cout << "A " << (std::getenv("A") ? std::getenv("A") : "none") << "\n";
    files("/cpp");
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        for (std::string word; words >> word;) {
            seen[word]++;
        }
    }
    for (const auto &[word, times] : seen) {
        std::cout << word << " " << times << "\n";
    }
    std::vector<double> series(1000);
    std::generate(series.begin(), series.end(), [x = 0.0]() mutable { return 1.0 / (x += 0.1); });
    std::sort(series.begin(), series.end());
    std::cout.precision(17);
    std::cout << series[500] << " " << series.back() << std::endl;
    if (!args.empty() && args[0] == "chance") {
        chance();
    }
    if (!args.empty() && args[0] == "abort") {
        std::cerr << "now" << std::endl;
        std::abort();
    }
    return args.empty() ? 0 : 3;
}
