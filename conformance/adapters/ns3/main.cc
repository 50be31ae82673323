/* SPDX-License-Identifier: GPL-2.0-only
 *
 * An agent for ns-3's TCP (docs/adapters.md): the protocol's lines, virtual time, `reset`.
 */
#include "agent.h"
#include "copies.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <sys/resource.h>
#include <unistd.h>

#include "ns3/boolean.h"
#include "ns3/double.h"
#include "ns3/enum.h"
#include "ns3/nstime.h"
#include "ns3/simulator.h"
#include "ns3/tcp-socket-base.h"
#include "ns3/tcp-socket-factory.h"

using namespace ns3;

namespace
{

const int64_t BOOT = 600'000'000'000; /* ns until the addresses are there and no router was found */
const double PROBED = 6.5; /* s until the first probe of a closed window, which is later than any first repeat */
const int64_t LATEST = INT64_MAX / 4;
const size_t LONGEST_FRAME = 65600;

unsigned long frames_in, frames_out;
bool booted, busy; /* busy: frames were sent or calls ended since the latest answer */

void emit(const uint8_t *frame, size_t length)
{
    if (!booted)
        return;
    frames_out++;
    busy = true;
    channel_frame(frame, length, static_cast<uint64_t>(clock_now()));
}

/* Let the stack do all that it can do now, and end the calls that can end. */
void settle()
{
    do {
        while (clock_next() <= clock_now())
            clock_step();
        if (!sockets_retry())
            return;
        busy = true;
    } while (true);
}

void boot()
{
    clock_zero();
    while (clock_next() <= BOOT)
        clock_step();
    clock_move(BOOT);
    clock_zero();
    booted = true;
}

const char *on(bool is)
{
    return is ? "on" : "off";
}

void hello()
{
    Ptr<Socket> any = Socket::CreateSocket(network_node(), TcpSocketFactory::GetTypeId());
    BooleanValue scaling, sack, timestamps;
    DoubleValue msl;
    EnumValue ecn;
    any->GetAttribute("WindowScaling", scaling);
    any->GetAttribute("Sack", sack);
    any->GetAttribute("Timestamp", timestamps);
    any->GetAttribute("MaxSegLifetime", msl);
    bool asks = DynamicCast<TcpSocketBase>(any) != nullptr && any->GetAttributeFailSafe("UseEcn", ecn) && ecn.Get() != 0;
    channel_say("{\"hello\":{\"protocol\":1,\"stack\":\"ns-3\",\"version\":\"%s\",\"clock\":\"virtual\",", VERSION);
    channel_say("\"frames\":\"channel\",\"ip\":[4,6],\"state\":true,\"reset\":true,\"msl\":%.3f,\"first_repeat\":%.1f,",
                msl.Get(), PROBED);
    channel_say("\"verbs\":[\"listen\",\"accept\",\"connect\",\"send\",\"recv\",\"shutdown\",\"close\",\"setsockopt\","
                "\"getsockopt\",\"poll\"],\"options\":[");
    const char *between = "";
    const struct { bool is; const char *name; } options[] = {{scaling.Get(), "wscale"}, {sack.Get(), "sackOK"}, {timestamps.Get(), "ts"}};
    for (const auto &option : options)
        if (option.is) {
            channel_say("%s\"%s\"", between, option.name);
            between = ",";
        }
    channel_say("],\"settings\":{\"syncookies\":\"never\",\"rfc1337\":\"on\",\"ecn\":\"%s\",\"fastopen\":\"off\","
                "\"abort-on-overflow\":\"off\",\"tw-reuse\":\"off\",\"mtu-probing\":\"off\",\"timestamps\":\"%s\","
                "\"sack\":\"%s\",\"window-scaling\":\"%s\"}}}\n",
                on(asks), on(timestamps.Get()), on(sack.Get()), on(scaling.Get()));
}

void advance(long long id, const char *line)
{
    int64_t to = json_int(json_get(line, "to"), -1);
    if (to < 0 || json_int(json_get(line, "in"), -1) != static_cast<long long>(frames_in)) {
        answer_error(id, "EPROTO");
        return;
    }
    to = std::min(to, LATEST);
    for (settle(); !busy; settle()) {
        if (clock_next() > to) {
            clock_move(to);
            break;
        }
        clock_step();
    }
    busy = false;
    channel_say("{\"id\":%lld,\"ok\":{\"now\":%lld,\"in\":%lu,\"out\":%lu,\"next\":", id,
                static_cast<long long>(clock_now()), frames_in, frames_out);
    if (clock_next() == INT64_MAX)
        channel_say("null}}\n");
    else
        channel_say("%lld}}\n", static_cast<long long>(clock_next()));
}

void take_frame(const char *value)
{
    static uint8_t octets[LONGEST_FRAME];
    long length = json_octets(value, octets, sizeof octets);
    frames_in++;
    if (length > 0)
        Simulator::ScheduleWithContext(network_node()->GetId(), Time(0), &network_take, octets, static_cast<size_t>(length));
    settle();
}

void serve()
{
    char *line;
    hello();
    while ((line = channel_line()) != nullptr) {
        char verb[32];
        const char *frame = json_get(line, "frame");
        long long id = json_int(json_get(line, "id"), -1);
        if (frame != nullptr) {
            take_frame(frame);
        } else if (id < 0 || json_text(json_get(line, "do"), verb, sizeof verb) < 0) {
            continue;
        } else if (std::string(verb) == "advance") {
            advance(id, line);
        } else if (std::string(verb) == "reset") {
            _exit(RESET);
        } else {
            sockets_request(id, verb, line);
            busy = false; /* what was sent until now came before the answer */
            settle();
        }
    }
    _exit(0);
}

} // namespace

int main(int count, char **words)
{
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    char *line = channel_line();
    const char *said = line ? json_get(line, "configure") : nullptr;
    if (said == nullptr) {
        fprintf(stderr, "the first line is no configure\n");
        return 1;
    }
    clock_begin();
    if (!network_begin(said, count > 1 ? words[1] : "", emit))
        return 1;
    boot();
    channel_flush();
    return let_copies(serve);
}
