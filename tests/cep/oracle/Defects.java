import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Collections;
import java.util.Deque;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Set;
import org.apache.flink.cep.nfa.State;
import org.apache.flink.cep.nfa.StateTransition;
import org.apache.flink.cep.nfa.StateTransitionAction;

/** Automata that throw or walk in a circle once the right event comes, whether or not it does in a case. */
final class Defects {
    private Defects() {}

    /** What is wrong with the automaton, or null. */
    static String of(Collection<State<Event>> states) {
        for (State<Event> state : states) {
            Set<State<Event>> reached = reachedByProceeding(state);
            if (reached.contains(null)) {
                return "a state leads to none";
            }
            if (reached.contains(state)) {
                return "states lead to each other without an event: Flink never ends";
            }
            if (state.isStart() && reached.stream().anyMatch(State::isStop)) {
                return "the first event may be what must not come: Flink throws";
            }
        }
        return null;
    }

    private static Set<State<Event>> reachedByProceeding(State<Event> from) {
        // Not by equality: states compare their transitions, for ever if these go round.
        Set<State<Event>> reached = Collections.newSetFromMap(new IdentityHashMap<>());
        Deque<State<Event>> left = new ArrayDeque<>(List.of(from));
        while (!left.isEmpty()) {
            for (StateTransition<Event> transition : left.pop().getStateTransitions()) {
                State<Event> target = transition.getTargetState();
                if (transition.getAction() == StateTransitionAction.PROCEED && reached.add(target) && target != null) {
                    left.push(target);
                }
            }
        }
        return reached;
    }
}
