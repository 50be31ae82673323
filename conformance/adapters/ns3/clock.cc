/* SPDX-License-Identifier: GPL-2.0-only
 *
 * ns-3's simulator, driven from outside: its list of events is ours, and each event that it takes from the list makes it
 * stop, so that Simulator::Run does one.
 */
#include "agent.h"

#include <map>

#include "ns3/object-factory.h"
#include "ns3/scheduler.h"
#include "ns3/simulator.h"

using namespace ns3;

namespace
{

int64_t zero;

class Steps : public Scheduler
{
  public:
    static TypeId GetTypeId()
    {
        static TypeId id = TypeId("conformance::Steps").SetParent<Scheduler>().AddConstructor<Steps>();
        return id;
    }

    Steps() { latest = this; }

    void Insert(const Event &event) override { events[event.key] = event.impl; }
    bool IsEmpty() const override { return events.empty(); }
    Event PeekNext() const override { return Event{events.begin()->second, events.begin()->first}; }
    void Remove(const Event &event) override { events.erase(event.key); }

    Event RemoveNext() override
    {
        Event next = PeekNext();
        events.erase(events.begin());
        Simulator::Stop();
        return next;
    }

    static Steps *latest;
    std::map<EventKey, EventImpl *> events;
};

Steps *Steps::latest;

NS_OBJECT_ENSURE_REGISTERED(Steps);

void nothing() {}

} // namespace

void clock_begin()
{
    ObjectFactory factory;
    factory.SetTypeId(Steps::GetTypeId());
    Simulator::SetScheduler(factory);
}

void clock_zero()
{
    zero = Simulator::Now().GetNanoSeconds();
}

int64_t clock_now()
{
    return Simulator::Now().GetNanoSeconds() - zero;
}

int64_t clock_next()
{
    for (const auto &[key, event] : Steps::latest->events)
        if (!event->IsCancelled())
            return static_cast<int64_t>(key.m_ts) - zero;
    return INT64_MAX;
}

void clock_step()
{
    while (!Steps::latest->IsEmpty() && Steps::latest->PeekNext().impl->IsCancelled())
        Simulator::Run(); /* it drops it */
    Simulator::Run();
}

void clock_move(int64_t to)
{
    if (to <= clock_now())
        return;
    Simulator::Schedule(NanoSeconds(to - clock_now()), &nothing);
    while (clock_now() < to)
        Simulator::Run();
}
