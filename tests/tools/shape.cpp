/* SPDX-License-Identifier: MIT */
/* shape SHAPE OUT.gguf: a model of any architecture and size with nothing in it.
 * llama.cpp itself says which tensors a header wants; the file has their names,
 * types and places, and a hole where the numbers would be, so that one of 600
 * GB takes a few kilobytes of disk. Headers are read and dry runs are made of it
 * as of the real model.
 *
 * A shape is a text of lines, '#' begins a remark:
 *   KEY VALUE...        metadata; KEY with a leading '.' is the architecture's.
 *                       16 is a u32, 1.0 an f32, true a bool, the rest text. More
 *                       than one, or N*VALUE or N*VALUE,VALUE, is an array
 *   weights N.N         how many the real model has, in billions: what comes out
 *                       must be within 1 % of it
 *   tokens N            a vocabulary of so many tokens
 *   matrices TYPE       what they are in; norms, biases and routers are f32
 *   type REGEX TYPE     tensors whose name matches are in another; the last wins
 *   without REGEX       tensors that this model has not: llama.cpp names all that
 *                       its architecture may have
 *   add NAME NE...      a tensor that llama.cpp does not name (fused ones), with
 *                       its shape; '*' in NAME stands for every layer, less what
 *                       `without` says */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <regex.h>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include <gguf.h>
#include <llama-cpp.h>
#include <src/llama-model.h>

namespace
{

using words = std::vector<std::string>;
using gguf_ptr = std::unique_ptr<gguf_context, void (*)(gguf_context *)>;

[[noreturn]] void fail(const std::string &why)
{
    throw std::runtime_error(why);
}

/* POSIX's extended ones. GCC's AddressSanitizer has doubts about std::regex
 * (https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105562). */
class pattern
{
    std::shared_ptr<regex_t> compiled{new regex_t, [](regex_t *regex) {
                                          regfree(regex);
                                          delete regex;
                                      }};

  public:
    explicit pattern(const std::string &text)
    {
        *compiled = regex_t{};
        if (regcomp(compiled.get(), text.c_str(), REG_EXTENDED | REG_NOSUB) !=
            0)
            fail(text + " is no regular expression");
    }

    bool is_in(const std::string &name) const
    {
        return regexec(compiled.get(), name.c_str(), 0, nullptr, 0) == 0;
    }
};

struct rule {
    pattern name;
    ggml_type type;
};

struct extra {
    std::string name;
    std::vector<int64_t> shape;
};

struct shape {
    gguf_ptr header{gguf_init_empty(), gguf_free};
    std::string architecture;
    double billions = 0; /* 0: not told */
    ggml_type matrices = GGML_TYPE_Q4_K;
    std::vector<rule> types;
    std::vector<pattern> without;
    std::vector<extra> add;
};

ggml_type type_of(const std::string &name)
{
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const auto type = static_cast<ggml_type>(i);

        if (ggml_type_name(type) != nullptr && name == ggml_type_name(type))
            return type;
    }
    fail("no type is called " + name);
}

/* ---- metadata ------------------------------------------------------------------ */

bool is_flag(const std::string &word)
{
    return word == "true" || word == "false";
}

bool is_number(const std::string &word)
{
    char *end;

    std::strtod(word.c_str(), &end);
    return *end == '\0';
}

bool is_whole(const std::string &word)
{
    return word.find_first_not_of("0123456789") == std::string::npos;
}

/* "2*1,1,0" is 1 1 0 1 1 0. */
words spread(const words &from)
{
    words out;

    for (const std::string &word : from) {
        const size_t star = word.find('*');
        const int times =
            star == std::string::npos ? 1 : std::stoi(word.substr(0, star));
        words group;
        std::stringstream list(
            star == std::string::npos ? word : word.substr(star + 1));

        for (std::string one; std::getline(list, one, ',');)
            group.push_back(one);
        for (int i = 0; i < times; i++)
            out.insert(out.end(), group.begin(), group.end());
    }
    return out;
}

void set_array(gguf_context *header, const char *key, const words &values)
{
    std::vector<uint32_t> whole;
    std::vector<float> real;
    std::vector<int8_t> flags;

    for (const std::string &value : values) {
        if (is_flag(value))
            flags.push_back(value == "true");
        else if (is_whole(value))
            whole.push_back(static_cast<uint32_t>(std::stoul(value)));
        else
            real.push_back(std::stof(value));
    }
    if (flags.size() == values.size())
        gguf_set_arr_data(header, key, GGUF_TYPE_BOOL, flags.data(),
                          flags.size());
    else if (whole.size() == values.size())
        gguf_set_arr_data(header, key, GGUF_TYPE_UINT32, whole.data(),
                          whole.size());
    else if (real.size() == values.size())
        gguf_set_arr_data(header, key, GGUF_TYPE_FLOAT32, real.data(),
                          real.size());
    else
        fail(std::string(key) + " is an array of several types");
}

void set_key(shape &out, std::string key, const std::string &rest)
{
    gguf_context *header = out.header.get();
    std::istringstream in(rest);
    words values;

    if (key[0] == '.')
        key = out.architecture + key;
    for (std::string word; in >> word;)
        values.push_back(word);
    if (values.empty())
        fail(key + " has no value");

    const std::string &first = values[0];
    const bool array = first.find_first_of("*,") != std::string::npos;

    if (array || (values.size() > 1 && (is_number(first) || is_flag(first))))
        set_array(header, key.c_str(), spread(values));
    else if (is_flag(first))
        gguf_set_val_bool(header, key.c_str(), first == "true");
    else if (is_whole(first))
        gguf_set_val_u32(header, key.c_str(),
                         static_cast<uint32_t>(std::stoul(first)));
    else if (is_number(first))
        gguf_set_val_f32(header, key.c_str(), std::stof(first));
    else
        gguf_set_val_str(header, key.c_str(), rest.c_str());
    if (key == "general.architecture")
        out.architecture = rest;
}

/* llama.cpp's own vocabulary for tests: tokens without a meaning. */
void set_tokens(gguf_context *header, int count)
{
    words names;
    std::vector<const char *> list;
    const std::vector<float> scores(static_cast<size_t>(count), 0.0f);

    for (int i = 0; i < count; i++)
        names.push_back("t" + std::to_string(i));
    for (const std::string &name : names)
        list.push_back(name.c_str());
    gguf_set_val_str(header, "tokenizer.ggml.model", "test");
    gguf_set_arr_str(header, "tokenizer.ggml.tokens", list.data(), list.size());
    gguf_set_arr_data(header, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32,
                      scores.data(), scores.size());
}

/* ---- the text ------------------------------------------------------------------ */

void read_line(shape &out, const std::string &line)
{
    std::istringstream in(line.substr(0, line.find('#')));
    std::string word, name, type;

    if (!(in >> word))
        return;
    if (word == "tokens") {
        int count = 0;

        in >> count;
        set_tokens(out.header.get(), count);
    } else if (word == "weights") {
        in >> out.billions;
    } else if (word == "matrices" && in >> type) {
        out.matrices = type_of(type);
    } else if (word == "type" && in >> name >> type) {
        out.types.push_back({pattern(name), type_of(type)});
    } else if (word == "without" && in >> name) {
        out.without.emplace_back(name);
    } else if (word == "add" && in >> name) {
        extra add = {name, {}};

        for (int64_t n; in >> n;)
            add.shape.push_back(n);
        out.add.push_back(add);
    } else {
        std::string rest;

        std::getline(in >> std::ws, rest);
        rest.erase(rest.find_last_not_of(" \t") + 1);
        set_key(out, word, rest);
    }
}

shape read_shape(const char *path)
{
    std::ifstream file(path);
    shape out;

    if (!file)
        fail(std::string(path) + " cannot be read");
    for (std::string line; std::getline(file, line);)
        read_line(out, line);
    return out;
}

/* ---- tensors ------------------------------------------------------------------- */

bool ends_with(const std::string &text, const char *end)
{
    const size_t n = std::strlen(end);

    return text.size() >= n && text.compare(text.size() - n, n, end) == 0;
}

bool is_small(const std::string &name, int dims)
{
    static const char *const small[] = {"norm", "ffn_gate_inp", "ssm_conv1d",
                                        "shortconv.conv", "ssm_a"};

    if (dims < 2 || !ends_with(name, ".weight"))
        return true;
    for (const char *part : small)
        if (name.find(part) != std::string::npos)
            return true;
    return false;
}

/* As llama-quantize does, the ends of the model are in six bits when the rest is
 * in four, and rows that are no whole number of blocks in eight. */
ggml_type choose(const shape &from, const std::string &name, int dims,
                 int64_t row)
{
    ggml_type type = is_small(name, dims) ? GGML_TYPE_F32 : from.matrices;

    if (type == GGML_TYPE_Q4_K &&
        (name == "output.weight" || name == "token_embd.weight"))
        type = GGML_TYPE_Q6_K;
    for (const rule &other : from.types)
        if (other.name.is_in(name))
            type = other.type;
    if (row % ggml_blck_size(type) != 0)
        type = row % 32 == 0 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
    return type;
}

/* The header being written. */
struct target {
    gguf_ptr header{gguf_init_empty(), gguf_free};
    ggml_context_ptr tensors;
    std::set<std::string> names;
    int64_t weights = 0;
};

void put(target &out, const shape &from, const std::string &name,
         const int64_t *ne, int dims)
{
    if (!out.names.insert(name).second)
        return;

    ggml_tensor *tensor = ggml_new_tensor(
        out.tensors.get(), choose(from, name, dims, ne[0]), dims, ne);

    ggml_set_name(tensor, name.c_str());
    gguf_add_tensor(out.header.get(), tensor);
    out.weights += ggml_nelements(tensor);
}

/* Scales are of quantized checkpoints that nobody has described here. */
bool is_wanted(const shape &from, const std::string &name)
{
    if (ends_with(name, ".scale") || ends_with(name, ".input_scale"))
        return false;
    for (const pattern &without : from.without)
        if (without.is_in(name))
            return false;
    return true;
}

void put_extras(target &out, const shape &from, int layers)
{
    for (const extra &add : from.add) {
        const size_t star = add.name.find('*');

        for (int i = 0; i < (star == std::string::npos ? 1 : layers); i++) {
            std::string name = add.name;

            if (star != std::string::npos)
                name.replace(star, 1, std::to_string(i));
            if (is_wanted(from, name))
                put(out, from, name, add.shape.data(),
                    static_cast<int>(add.shape.size()));
        }
    }
}

void no_data(ggml_tensor *, void *)
{
}

llama_model_params params()
{
    static ggml_backend_dev_t no_devices[] = {nullptr};
    llama_model_params out = llama_model_default_params();

    out.devices = no_devices;
    out.no_alloc = true;
    out.load_mode = LLAMA_LOAD_MODE_NONE;
    return out;
}

target fill(const shape &from)
{
    const llama_model_ptr model(llama_model_init_from_user(
        from.header.get(), no_data, nullptr, params()));

    if (!model)
        fail("llama.cpp makes no model of this header");

    target out;

    gguf_set_kv(out.header.get(), from.header.get());
    out.tensors.reset(ggml_init({size_t{64} << 20, nullptr, true}));
    put_extras(out, from, llama_model_n_layer(model.get()));
    for (const auto &[name, tensor] :
         llama_internal_get_tensor_map(model.get()))
        if (is_wanted(from, name))
            put(out, from, name, tensor->ne, ggml_n_dims(tensor));
    return out;
}

/* ---- the file ------------------------------------------------------------------ */

void check_weights(const shape &from, const target &out)
{
    const double billions = static_cast<double>(out.weights) / 1e9;

    if (from.billions > 0 &&
        (billions < from.billions * 0.99 || billions > from.billions * 1.01))
        fail("it has " + std::to_string(billions) + " billion weights");
}

void write(const target &from, const char *path)
{
    const gguf_context *header = from.header.get();
    const int64_t last = gguf_get_n_tensors(header) - 1;
    const uint64_t end = gguf_get_meta_size(header) +
                         gguf_get_tensor_offset(header, last) +
                         gguf_get_tensor_size(header, last);

    if (!gguf_write_to_file(header, path, true) ||
        truncate(path, static_cast<off_t>(end)) != 0)
        fail(std::string(path) + " cannot be written");
    if (!llama_model_ptr(llama_model_load_from_file(path, params()))) {
        unlink(path);
        fail("llama.cpp does not load what it named itself");
    }
}

void log_errors(ggml_log_level level, const char *text, void *)
{
    if (level == GGML_LOG_LEVEL_ERROR)
        std::fputs(text, stderr);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 3) {
        std::fputs("usage: shape SHAPE OUT.gguf\n", stderr);
        return 2;
    }
    llama_log_set(log_errors, nullptr);
    try {
        const shape from = read_shape(argv[1]);
        const target out = fill(from);

        check_weights(from, out);
        write(out, argv[2]);
    } catch (const std::exception &e) {
        std::fprintf(stderr, "shape: %s: %s\n", argv[1], e.what());
        return 1;
    }
    return 0;
}
