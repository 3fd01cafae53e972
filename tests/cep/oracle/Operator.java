import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.cep.nfa.NFA;
import org.apache.flink.cep.nfa.NFAState;
import org.apache.flink.cep.nfa.aftermatch.AfterMatchSkipStrategy;
import org.apache.flink.cep.nfa.sharedbuffer.SharedBuffer;
import org.apache.flink.cep.nfa.sharedbuffer.SharedBufferAccessor;

/** Drives Flink's automaton for one key as Flink's operator does: buffer, timers, and which call comes when. */
final class Operator implements AutoCloseable {
    /** More than this is not a case but a flood. */
    static final int FLOOD = 2000;

    private static final int EVALUATIONS_PER_EVENT = 300_000;

    record Found(String kind, Map<String, List<Integer>> positions, long timestamp, int step) {
        static Found of(String kind, Map<String, List<Event>> events, long timestamp, int step) {
            Map<String, List<Integer>> positions = new TreeMap<>();
            events.forEach((name, taken) -> positions.put(name, taken.stream().map(Event::position).toList()));
            return new Found(kind, positions, timestamp, step);
        }

        /** What two ways of running a case have to agree on: not the step, which coarse clocks move. */
        String essence() {
            return kind + positions + timestamp;
        }
    }

    static final class Flooded extends RuntimeException {
        private static final long serialVersionUID = 1L;
    }

    final List<Found> found = new ArrayList<>();
    final List<Integer> late = new ArrayList<>();

    private final NFA<Event> automaton;
    private final AfterMatchSkipStrategy skip;
    private final boolean byArrival;
    private final boolean stopsAtDeadlines;
    private final Ties ties;
    private final SharedBuffer<Event> buffer = new SharedBuffer<>(MapStore.create(), new EventType.Serializer());
    private final TreeMap<Long, List<Event>> waiting = new TreeMap<>();
    private final TreeSet<Long> timers = new TreeSet<>();
    private NFAState state;
    private long clock = Long.MIN_VALUE;
    private int step;

    Operator(NFA<Event> automaton, AfterMatchSkipStrategy skip, boolean byArrival, boolean stopsAtDeadlines, Ties ties) {
        this.automaton = automaton;
        this.skip = skip;
        this.byArrival = byArrival;
        this.stopsAtDeadlines = stopsAtDeadlines;
        this.ties = ties;
        this.state = automaton.createInitialNFAState();
    }

    void feed(Event event, long timestamp) throws Exception {
        if (byArrival) {
            moveClock(timestamp);
            expire(timestamp);
            process(event, timestamp);
            state.resetNewStartPartialMatch();
        } else if (timestamp <= clock) {
            late.add(event.position());
        } else {
            waiting.computeIfAbsent(timestamp, each -> new ArrayList<>()).add(event);
            timers.add(timestamp);
        }
        step++;
    }

    void advance(long to) throws Exception {
        moveClock(to);
        step++;
    }

    @Override
    public void close() {
        buffer.releaseCacheStatisticsTimer();
    }

    private void moveClock(long to) throws Exception {
        while (!timers.isEmpty() && timers.first() <= to) {
            long due = timers.pollFirst();
            clock = stopsAtDeadlines ? due : to;
            onTimer();
        }
        clock = Math.max(clock, to);
    }

    private void onTimer() throws Exception {
        while (!waiting.isEmpty() && waiting.firstKey() <= clock) {
            Map.Entry<Long, List<Event>> due = waiting.pollFirstEntry();
            expire(due.getKey());
            for (Event event : due.getValue()) {
                process(event, due.getKey());
            }
        }
        expire(clock);
        state.resetNewStartPartialMatch();
        if (!byArrival && state.getPartialMatches().size() == 1 && state.getCompletedMatches().isEmpty()) {
            state = automaton.createInitialNFAState();
        }
    }

    private void process(Event event, long timestamp) throws Exception {
        prepare();
        try (SharedBufferAccessor<Event> accessor = buffer.getAccessor()) {
            Collection<Map<String, List<Event>>> matches =
                    automaton.process(accessor, state, event, timestamp, skip, () -> clock);
            if (automaton.getWindowTime() > 0 && state.isNewStartPartialMatch()) {
                timers.add(timestamp + automaton.getWindowTime() + slack());
            }
            matches.forEach(each -> emit("match", each, timestamp));
        }
    }

    /** Timers of arrival time are one millisecond late in Flink: not so for a clock that stops at every deadline. */
    private int slack() {
        return byArrival && !stopsAtDeadlines ? 1 : 0;
    }

    private void expire(long timestamp) throws Exception {
        prepare();
        try (SharedBufferAccessor<Event> accessor = buffer.getAccessor()) {
            Tuple2<Collection<Map<String, List<Event>>>, Collection<Tuple2<Map<String, List<Event>>, Long>>> ended =
                    automaton.advanceTime(accessor, state, timestamp, skip);
            ended.f0.forEach(each -> emit("match", each, timestamp));
            ended.f1.forEach(each -> emit("timeout", each.f0, each.f1));
        }
    }

    private void prepare() {
        ties.arrange(state);
        Condition.allow(EVALUATIONS_PER_EVENT);
        if (state.getPartialMatches().size() + state.getCompletedMatches().size() + found.size() > FLOOD) {
            throw new Flooded();
        }
    }

    private void emit(String kind, Map<String, List<Event>> events, long timestamp) {
        found.add(Found.of(kind, events, timestamp, step));
    }
}
