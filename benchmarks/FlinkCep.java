import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.nfa.aftermatch.AfterMatchSkipStrategy;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.IterativeCondition;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.MappingIterator;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.v2.DiscardingSink;
import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.util.Collector;

/**
 * The Flink side of the benchmark of pattern rules: JSON Lines in, matches as JSON Lines out.
 *
 * <p>Arguments: events, matches, number of rules, threshold, lateness in ms, {@code exchange} or {@code chained},
 * parallelism of what matches, and how many times; the first times warm up. Prints a line of JSON for each.
 */
public final class FlinkCep {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static final OperatingSystemMXBean PROCESS =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private static OutputStream out;
    private static long events;
    private static long matches;
    private static long started;
    private static long startedCpu;
    private static long ended;
    private static long endedCpu;

    private FlinkCep() {}

    /** An event, with the types that its fields have. */
    public static final class Reading {
        public String rack;
        public long ts;
        public String type;
        public double temp;
        public double load;
        public String status;
    }

    public static void main(String[] arguments) throws Exception {
        int rules = Integer.parseInt(arguments[2]);
        double threshold = Double.parseDouble(arguments[3]);
        long lateness = Long.parseLong(arguments[4]);
        boolean chained = arguments[5].equals("chained");
        int parallelism = Integer.parseInt(arguments[6]);
        for (int time = 0; time < Integer.parseInt(arguments[7]); time++) {
            events = matches = started = 0;
            try (OutputStream file = new BufferedOutputStream(Files.newOutputStream(Path.of(arguments[1])), 1 << 16)) {
                out = file;
                run(arguments[0], rules, threshold, lateness, chained, parallelism);
            }
            System.out.printf(
                    "{\"seconds\":%.6f,\"cpu\":%.6f,\"events\":%d,\"matches\":%d}%n",
                    (ended - started) / 1e9, (endedCpu - startedCpu) / 1e9, events, matches);
        }
    }

    private static void run(
            String path, int rules, double threshold, long lateness, boolean chained, int parallelism)
            throws Exception {
        Configuration configuration = new Configuration();
        configuration.setString("pipeline.object-reuse", "true");
        configuration.setString("state.backend.type", "hashmap");
        configuration.setString("taskmanager.memory.network.min", "1g");
        configuration.setString("taskmanager.memory.network.max", "1g");
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(parallelism, configuration);
        var readings =
                environment
                        .addSource(new Lines(path), "lines", Types.POJO(Reading.class))
                        .assignTimestampsAndWatermarks(
                                WatermarkStrategy.<Reading>forBoundedOutOfOrderness(Duration.ofMillis(lateness))
                                        .withTimestampAssigner((reading, before) -> reading.ts))
                        .setParallelism(1);
        KeyedStream<Reading, String> byRack = readings.keyBy(reading -> reading.rack);
        if (chained) {
            byRack = DataStreamUtils.reinterpretAsKeyedStream(readings, reading -> reading.rack, Types.STRING);
        }
        for (int number = 0; number < rules; number++) {
            CEP.pattern(byRack, hotterTwice(rules == 1 ? null : "t" + number, threshold))
                    .inEventTime()
                    .process(new Written(number), Types.INT)
                    .sinkTo(new DiscardingSink<>());
        }
        environment.execute();
    }

    /** Above a threshold, and the next reading of the same rack is higher still; type: null for every one. */
    private static Pattern<Reading, Reading> hotterTwice(String type, double threshold) {
        return Pattern.<Reading>begin("first", AfterMatchSkipStrategy.skipPastLastEvent())
                .where(
                        type == null
                                ? SimpleCondition.of(reading -> reading.temp > threshold)
                                : SimpleCondition.of(
                                        reading -> reading.temp > threshold && reading.type.equals(type)))
                .next("second")
                .where(new Hotter())
                .within(Duration.ofSeconds(20));
    }

    private static final class Hotter extends IterativeCondition<Reading> {
        private static final long serialVersionUID = 1L;

        @Override
        public boolean filter(Reading reading, Context<Reading> context) throws Exception {
            return reading.temp > context.getEventsForPattern("first").iterator().next().temp;
        }
    }

    /** Reads and parses the file. The clock starts with its first event, when everything is set up. */
    private static final class Lines implements SourceFunction<Reading> {
        private static final long serialVersionUID = 1L;
        private final String path;

        Lines(String path) {
            this.path = path;
        }

        @Override
        public void run(SourceContext<Reading> context) throws IOException {
            started = System.nanoTime();
            startedCpu = PROCESS.getProcessCpuTime();
            try (InputStream file = new BufferedInputStream(Files.newInputStream(Path.of(path)), 1 << 16);
                    MappingIterator<Reading> readings = JSON.readerFor(Reading.class).readValues(file)) {
                while (readings.hasNextValue()) {
                    context.collect(readings.nextValue());
                    events++;
                }
            }
        }

        @Override
        public void cancel() {}
    }

    /** Writes matches. The last one that is closed stops the clock. */
    private static final class Written extends PatternProcessFunction<Reading, Integer> {
        private static final long serialVersionUID = 1L;
        private final int rule;

        Written(int rule) {
            this.rule = rule;
        }

        @Override
        public void open(OpenContext context) {}

        @Override
        public void processMatch(Map<String, List<Reading>> match, Context context, Collector<Integer> collector)
                throws IOException {
            byte[] line = JSON.writeValueAsBytes(Map.of("rule", "rule-" + rule, "events", match));
            synchronized (FlinkCep.class) {
                matches++;
                out.write(line);
                out.write('\n');
            }
        }

        @Override
        public void close() {
            synchronized (FlinkCep.class) {
                ended = System.nanoTime();
                endedCpu = PROCESS.getProcessCpuTime();
            }
        }
    }
}
