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
import org.apache.flink.cep.pattern.conditions.RichCompositeIterativeCondition;

/** Automata that throw or walk in a circle once the right event comes, whether or not it does in a case. */
final class Defects {
    private Defects() {}

    /** What is wrong with the automaton, or null. */
    static String of(Collection<State<Event>> states) {
        for (State<Event> state : states) {
            Set<State<Event>> reached = reachedByProceeding(state, false);
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

    /** Whether it walks in a circle for every event. It must not run then: no condition is evaluated that could stop it. */
    static boolean isEndless(Collection<State<Event>> states) {
        return states.stream().anyMatch(state -> reachedByProceeding(state, true).contains(state));
    }

    private static Set<State<Event>> reachedByProceeding(State<Event> from, boolean always) {
        // Not by equality: states compare their transitions, for ever if these go round.
        Set<State<Event>> reached = Collections.newSetFromMap(new IdentityHashMap<>());
        Deque<State<Event>> left = new ArrayDeque<>(List.of(from));
        while (!left.isEmpty()) {
            for (StateTransition<Event> transition : left.pop().getStateTransitions()) {
                State<Event> target = transition.getTargetState();
                boolean counts = !always || !(transition.getCondition() instanceof RichCompositeIterativeCondition);
                if (transition.getAction() == StateTransitionAction.PROCEED
                        && counts
                        && reached.add(target)
                        && target != null) {
                    left.push(target);
                }
            }
        }
        return reached;
    }
}
