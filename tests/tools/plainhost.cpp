// SPDX-License-Identifier: MIT
// A host that knows nothing of jemalloc and opens the library at run time: malloc
// and operator new are what they were, and blocks come from mappings.
//
//   plainhost LIBRARY
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>

namespace
{

int bad = 0;

void check(bool holds, const char *what)
{
    if (holds)
        return;
    std::printf("%s\n", what);
    bad = 1;
}

struct Owner {
    void *malloc_at, *new_at, *delete_at;
    std::string malloc_of, new_of;
};

std::string object_of(void *address)
{
    Dl_info info = {};

    return address != nullptr && dladdr(address, &info) != 0 ? info.dli_fname
                                                             : "";
}

Owner owner()
{
    Owner now;

    now.malloc_at = dlsym(RTLD_DEFAULT, "malloc");
    now.new_at = dlsym(RTLD_DEFAULT, "_Znwm");
    now.delete_at = dlsym(RTLD_DEFAULT, "_ZdlPv");
    now.malloc_of = object_of(now.malloc_at);
    now.new_of = object_of(now.new_at);
    return now;
}

bool loads(const char *name)
{
    std::FILE *maps = std::fopen("/proc/self/maps", "r");
    char line[4096];
    bool found = false;

    while (maps != nullptr && std::fgets(line, sizeof(line), maps) != nullptr)
        found |= std::strstr(line, name) != nullptr;
    if (maps != nullptr)
        std::fclose(maps);
    return found;
}

template <class Function> Function find(void *library, const char *name)
{
    Function function = nullptr;
    void *symbol = dlsym(library, name);

    std::memcpy(&function, &symbol, sizeof(function));
    check(symbol != nullptr, name);
    if (symbol == nullptr)
        std::exit(1);
    return function;
}

void use(void *library)
{
    const auto backend = find<int (*)()>(library, "gov_heap_backend_now");
    const auto alloc =
        find<void *(*)(std::size_t, const char *)>(library, "gov_heap_alloc");
    const auto release = find<void (*)(void *)>(library, "gov_heap_free");
    const auto bytes =
        find<std::uint64_t (*)(const char *)>(library, "gov_heap_bytes");
    const auto purge = find<void (*)()>(library, "gov_heap_purge");
    const auto decay = find<void (*)(int)>(library, "gov_heap_decay");
    void *block = alloc(100000, "plain");

    check(backend() == 0, "blocks do not come from mappings");
    check(block != nullptr && bytes("plain") == 100000, "bytes are not exact");
    std::memset(block, 1, 100000);
    release(block);
    check(bytes("plain") == 0, "bytes are left");
    decay(100);
    decay(0);
    purge();
}

} // namespace

int main(int argc, char **argv)
{
    const Owner before = owner();
    std::string *made = new std::string(1000, 'x'); // deleted after the opening
    char *got = static_cast<char *>(std::malloc(5000));

    if (argc < 2 || got == nullptr)
        return 2;
    std::memset(got, 1, 5000);
    for (const int scope : {RTLD_LOCAL, RTLD_GLOBAL}) {
        void *library = dlopen(argv[1], RTLD_NOW | scope);

        if (library == nullptr) {
            std::printf("%s\n", dlerror());
            return 1;
        }
        use(library);
        const Owner now = owner();
        check(now.malloc_at == before.malloc_at, "malloc is another");
        check(now.new_at == before.new_at, "operator new is another");
        check(now.delete_at == before.delete_at, "operator delete is another");
        check(now.malloc_of == before.malloc_of, "malloc is another's");
        check(now.new_of == before.new_of, "operator new is another's");
        check(!loads("jemalloc"), "jemalloc came along");
        delete made;
        made = new std::string(2000, 'y');
        got = static_cast<char *>(std::realloc(got, 9000));
        (void)dlclose(library);
    }
    delete made;
    std::free(got);
    std::printf("malloc of %s, operator new of %s\n", before.malloc_of.c_str(),
                before.new_of.c_str());
    return bad;
}
