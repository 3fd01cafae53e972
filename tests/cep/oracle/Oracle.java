import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.flink.cep.nfa.State;
import org.apache.flink.cep.nfa.compiler.NFACompiler;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/**
 * Reads cases as JSON lines and writes what Apache Flink CEP makes of each, as JSON lines.
 *
 * <p>An answer has {@code answer}: {@code {"refused": reason}}, {@code {"crash": reason}}, {@code {"flooded": true}} (too
 * much to be a case) or {@code {"matches": [...], "late": [...]}}. With matches also {@code heap} and {@code clock}: null,
 * "order" or "content", which is how far another order of the heap, or a clock that moves as the case's watermarks do,
 * changes them; and {@code defect}: null, or why this rule may make Flink crash with other events.
 */
public final class Oracle {
    private static final int SECONDS_PER_CASE = 300;
    private static final int SHUFFLES = 4;
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Ties ties;

    private Oracle(Ties ties) {
        this.ties = ties;
    }

    public static void main(String[] arguments) throws Exception {
        Oracle oracle = new Oracle(Ties.install());
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode theCase = JSON.readTree(line);
            Map<String, Object> answer = new HashMap<>(oracle.answerInTime(theCase));
            answer.put("id", theCase.get("id").asText());
            out.println(JSON.writeValueAsString(answer));
            out.flush();
        }
    }

    private Map<String, Object> answerInTime(JsonNode theCase) throws InterruptedException {
        FutureTask<Map<String, Object>> task = new FutureTask<>(() -> answer(theCase));
        // Deep recursion in Flink's compiler must end as an error of this thread alone.
        Thread thread = new Thread(null, task, "case", 16 << 20);
        thread.setDaemon(true);
        thread.start();
        try {
            return task.get(SECONDS_PER_CASE, TimeUnit.SECONDS);
        } catch (ExecutionException failure) {
            throw new IllegalStateException("The harness failed in case " + theCase, failure.getCause());
        } catch (TimeoutException failure) {
            return verdict("flooded", true);
        }
    }

    private static Map<String, Object> verdict(String kind, Object value) {
        return Map.of("answer", Map.of(kind, value));
    }

    private Map<String, Object> answer(JsonNode theCase) {
        Pattern<Event, Event> pattern;
        NFACompiler.NFAFactory<Event> factory;
        try {
            pattern = Rules.pattern(theCase.get("rule"));
            factory = NFACompiler.compileFactory(pattern, true);
        } catch (RuntimeException | StackOverflowError refusal) {
            return verdict("refused", describe(refusal));
        }
        Collection<State<Event>> states = factory.createNFA().getStates();
        String defect = Defects.of(states);
        if (Defects.isEndless(states)) {
            return verdict("crash", defect);
        }
        try {
            Map<String, Object> result = compared(theCase, pattern, factory);
            result.put("defect", defect);
            return result;
        } catch (Operator.Flooded flood) {
            return verdict("flooded", true);
        } catch (Exception | Condition.Exhausted | StackOverflowError crash) {
            return verdict("crash", describe(crash));
        }
    }

    private static String describe(Throwable failure) {
        Throwable root = failure;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        return root.getClass().getName() + ": " + root.getMessage();
    }

    private Map<String, Object> compared(
            JsonNode theCase, Pattern<Event, Event> pattern, NFACompiler.NFAFactory<Event> factory) throws Exception {
        ties.begin(Ties.Order.CREATION, 0);
        Operator reference = run(theCase, pattern, factory, true);
        List<String> expected = reference.found.stream().map(Operator.Found::essence).toList();
        List<List<String>> heaps = new ArrayList<>();
        for (int seed = 0; seed <= SHUFFLES; seed++) {
            ties.begin(seed == 0 ? Ties.Order.FLINK : Ties.Order.RANDOM, seed);
            heaps.add(attempt(theCase, pattern, factory, true));
        }
        ties.begin(Ties.Order.CREATION, 0);
        List<String> coarse = attempt(theCase, pattern, factory, false);

        Map<String, Object> result = new HashMap<>();
        result.put("answer", Map.of("matches", reference.found, "late", reference.late));
        result.put("heap", difference(expected, heaps));
        result.put("clock", difference(expected, List.of(coarse)));
        return result;
    }

    private List<String> attempt(
            JsonNode theCase, Pattern<Event, Event> pattern, NFACompiler.NFAFactory<Event> factory, boolean fine) {
        try {
            return run(theCase, pattern, factory, fine).found.stream().map(Operator.Found::essence).toList();
        } catch (Exception | Condition.Exhausted failure) {
            return List.of(describe(failure));
        }
    }

    private static String difference(List<String> expected, List<List<String>> others) {
        List<String> sorted = expected.stream().sorted().toList();
        if (others.stream().anyMatch(each -> !each.stream().sorted().toList().equals(sorted))) {
            return "content";
        }
        return others.stream().allMatch(expected::equals) ? null : "order";
    }

    private Operator run(
            JsonNode theCase, Pattern<Event, Event> pattern, NFACompiler.NFAFactory<Event> factory, boolean fine)
            throws Exception {
        boolean byArrival = theCase.get("time").asText().equals("arrival");
        try (Operator operator =
                new Operator(factory.createNFA(), pattern.getAfterMatchSkipStrategy(), byArrival, fine, ties)) {
            play(theCase, operator);
            return operator;
        }
    }

    static void play(JsonNode theCase, Operator operator) throws Exception {
        Map<Integer, List<Long>> clock = clock(theCase);
        int position = 0;
        for (JsonNode event : theCase.get("events")) {
            operator.feed(EventType.event(position, event), event.get("ts").asLong());
            for (long to : clock.getOrDefault(position++, List.of())) {
                operator.advance(to);
            }
        }
    }

    /** The times that the clock is moved to, by the position of the event behind which it is. */
    static HashMap<Integer, List<Long>> clock(JsonNode theCase) {
        HashMap<Integer, List<Long>> clock = new HashMap<>();
        for (JsonNode mark : theCase.get("watermarks")) {
            clock.computeIfAbsent(mark.get(0).asInt(), position -> new ArrayList<>()).add(mark.get(1).asLong());
        }
        return clock;
    }
}
