import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Random;
import org.apache.flink.cep.nfa.ComputationState;
import org.apache.flink.cep.nfa.NFA;
import org.apache.flink.cep.nfa.NFAState;

/**
 * Decides between runs that began with the same event, where Flink leaves it to the layout of a heap.
 *
 * <p>Flink keeps runs in priority queues that know only the start event, and walks them in the order of their arrays.
 * This comparator takes the place of Flink's: in the order of creation, at random, or not at all.
 */
final class Ties implements Comparator<ComputationState> {
    enum Order {
        CREATION,
        RANDOM,
        FLINK
    }

    private static final StackWalker STACK = StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE);
    private final Comparator<ComputationState> byStart = NFAState.COMPUTATION_STATE_COMPARATOR;
    private final Map<ComputationState, Long> ranks = new IdentityHashMap<>();
    private Order order = Order.FLINK;
    private Random random = new Random();
    private long created;

    /** Must run before Flink's code does: afterwards the compiler may have taken the old comparator for a constant. */
    static Ties install() throws ReflectiveOperationException {
        Ties ties = new Ties();
        Field access = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        access.setAccessible(true);
        sun.misc.Unsafe unsafe = (sun.misc.Unsafe) access.get(null);
        Field field = NFAState.class.getField("COMPUTATION_STATE_COMPARATOR");
        unsafe.putObject(unsafe.staticFieldBase(field), unsafe.staticFieldOffset(field), ties);
        return ties;
    }

    void begin(Order order, long seed) {
        this.order = order;
        this.random = new Random(seed);
        ranks.clear();
    }

    @Override
    public int compare(ComputationState left, ComputationState right) {
        int byEvent = byStart.compare(left, right);
        if (order == Order.FLINK) {
            return byEvent;
        }
        // A queue compares what comes with what is there, so every run is ranked when it comes.
        long second = rank(right);
        int byRank = Long.compare(rank(left), second);
        return byEvent != 0 || left == right || isAskedByTheAutomaton() ? byEvent : byRank;
    }

    /** The automaton itself asks whether a match is earlier than all runs; there a tie has to remain one. */
    private static boolean isAskedByTheAutomaton() {
        return STACK.walk(
                frames ->
                        frames.map(StackWalker.StackFrame::getDeclaringClass)
                                .filter(each -> each != Ties.class)
                                .findFirst()
                                .filter(each -> each == NFA.class)
                                .isPresent());
    }

    private long rank(ComputationState run) {
        return ranks.computeIfAbsent(run, each -> order == Order.RANDOM ? random.nextLong() : created++);
    }

    /** Lays the runs out as this order has it: Flink walks the array of the queue. */
    void arrange(NFAState state) {
        state.getCompletedMatches().forEach(this::rank);
        if (order == Order.FLINK) {
            return;
        }
        Collection<ComputationState> before = state.getPartialMatches();
        before.forEach(this::rank);
        List<ComputationState> runs = new ArrayList<>(before);
        if (order == Order.RANDOM) {
            Collections.shuffle(runs, random);
        } else {
            runs.sort(this);
        }
        PriorityQueue<ComputationState> after = new PriorityQueue<>(this);
        after.addAll(runs);
        state.setNewPartialMatches(after);
    }
}
