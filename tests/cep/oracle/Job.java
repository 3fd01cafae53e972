import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.api.common.eventtime.Watermark;
import org.apache.flink.api.common.eventtime.WatermarkGenerator;
import org.apache.flink.api.common.eventtime.WatermarkOutput;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.functions.TimedOutPartialMatchHandler;
import org.apache.flink.cep.nfa.compiler.NFACompiler;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;

/**
 * Checks the harness: runs cases in event time as a real job too, and says where the two differ.
 *
 * <p>Reads cases as JSON lines; each becomes a part of one job, on a cluster within this process.
 */
public final class Job {
    private static final Map<Integer, List<String>> FOUND = new ConcurrentHashMap<>();

    private Job() {}

    public static void main(String[] arguments) throws Exception {
        ObjectMapper json = new ObjectMapper();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        List<JsonNode> cases = new ArrayList<>();
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            cases.add(json.readTree(line));
        }
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1);
        for (int number = 0; number < cases.size(); number++) {
            add(environment, number, cases.get(number));
        }
        environment.execute();
        int wrong = 0;
        for (int number = 0; number < cases.size(); number++) {
            List<String> expected = harness(cases.get(number));
            if (!expected.equals(FOUND.get(number))) {
                wrong++;
                System.out.println(cases.get(number) + "\nharness: " + expected + "\njob:     " + FOUND.get(number));
            }
        }
        System.out.println(cases.size() + " cases, " + wrong + " in which the harness and a real job differ");
    }

    private static void add(StreamExecutionEnvironment environment, int number, JsonNode theCase) {
        FOUND.put(number, Collections.synchronizedList(new ArrayList<>()));
        List<Event> events = new ArrayList<>();
        theCase.get("events").forEach(each -> events.add(EventType.event(events.size(), each)));
        HashMap<Integer, List<Long>> marks = Oracle.clock(theCase);
        var stream =
                environment
                        .fromData(events, new EventType())
                        .assignTimestampsAndWatermarks(
                                WatermarkStrategy.forGenerator(context -> new Marks(marks))
                                        .withTimestampAssigner((event, before) -> event.fields().get("ts").asLong()))
                        .keyBy(event -> 0, Types.INT);
        CEP.pattern(stream, Rules.pattern(theCase.get("rule"))).inEventTime().process(new Noting(number), Types.INT);
    }

    /** A job's watermarks jump, and the end of its input is the end of time. */
    private static List<String> harness(JsonNode theCase) throws Exception {
        Pattern<Event, Event> pattern = Rules.pattern(theCase.get("rule"));
        try (Operator operator =
                new Operator(
                        NFACompiler.compileFactory(pattern, true).createNFA(),
                        pattern.getAfterMatchSkipStrategy(),
                        false,
                        false,
                        new Ties())) {
            Oracle.play(theCase, operator);
            operator.advance(Long.MAX_VALUE);
            return operator.found.stream().map(Operator.Found::essence).toList();
        }
    }

    private static final class Marks implements WatermarkGenerator<Event> {
        private final Map<Integer, List<Long>> marks;

        Marks(Map<Integer, List<Long>> marks) {
            this.marks = marks;
        }

        @Override
        public void onEvent(Event event, long timestamp, WatermarkOutput output) {
            for (long to : marks.getOrDefault(event.position(), List.of())) {
                output.emitWatermark(new Watermark(to));
            }
        }

        @Override
        public void onPeriodicEmit(WatermarkOutput output) {}
    }

    private static final class Noting extends PatternProcessFunction<Event, Integer>
            implements TimedOutPartialMatchHandler<Event> {
        private static final long serialVersionUID = 1L;
        private final int number;

        Noting(int number) {
            this.number = number;
        }

        @Override
        public void processMatch(Map<String, List<Event>> match, Context context, Collector<Integer> out) {
            FOUND.get(number).add(Operator.Found.of("match", match, context.timestamp(), 0).essence());
        }

        @Override
        public void processTimedOutMatch(Map<String, List<Event>> match, Context context) {
            FOUND.get(number).add(Operator.Found.of("timeout", match, context.timestamp(), 0).essence());
        }
    }
}
