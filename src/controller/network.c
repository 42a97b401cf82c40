/* Networks in CIDR notation (RFC 4632, RFC 4291), IPv4 as its mapped IPv6 form. */
#include "controller/network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"

int network_parse(const char *text, struct snapshot_network *ret)
{
    char address[64];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    struct snapshot_network net = { .prefix_bits = 128 };
    int64_t bits = -1;
    if (n >= sizeof(address))
        return -EINVAL;
    memcpy(address, text, n);
    address[n] = '\0';
    if (slash && (num_parse_i64(slice_of(slash + 1), &bits) < 0 || bits < 0))
        return -EINVAL;
    if (inet_pton(AF_INET, address, net.address + 12) == 1) {
        net.address[10] = net.address[11] = 0xff;
        if (bits > 32)
            return -EINVAL;
        bits = bits < 0 ? 128 : bits + 96;
    } else if (inet_pton(AF_INET6, address, net.address) != 1 || bits > 128) {
        return -EINVAL;
    }
    net.prefix_bits = (uint8_t)(bits < 0 ? 128 : bits);
    *ret = net;
    return 0;
}
