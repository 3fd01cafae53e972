import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.flink.cep.pattern.conditions.IterativeCondition;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** The conditions that generated rules use: comparisons, and looks at the partial match. */
abstract class Condition extends IterativeCondition<Event> {
    private static final long serialVersionUID = 1L;
    private static int budget = Integer.MAX_VALUE;

    /** A rule that makes Flink walk its states in a circle evaluates for ever: this is what stops it. */
    static final class Exhausted extends Error {
        private static final long serialVersionUID = 1L;
    }

    static void allow(int evaluations) {
        budget = evaluations;
    }

    static Condition of(JsonNode json) {
        if (json == null || json.isNull()) {
            return new Anything();
        }
        return switch (json.get("type").asText()) {
            case "AVIATOR" -> new Comparisons(json.get("expression").asText());
            case "PARTIAL" ->
                    new Partial(
                            json.has("expression") ? new Comparisons(json.get("expression").asText()) : new Anything(),
                            json.get("pattern").asText(),
                            json.get("op").asText(),
                            json.get("field").asText(),
                            json.get("value").asDouble());
            default -> throw new IllegalArgumentException("Unknown type of condition: " + json);
        };
    }

    abstract boolean holds(Event event, Context<Event> context) throws Exception;

    @Override
    public final boolean filter(Event event, Context<Event> context) throws Exception {
        if (--budget < 0) {
            throw new Exhausted();
        }
        return holds(event, context);
    }

    private static final class Anything extends Condition {
        private static final long serialVersionUID = 1L;

        @Override
        boolean holds(Event event, Context<Event> context) {
            return true;
        }
    }

    private static final class Comparisons extends Condition {
        private static final long serialVersionUID = 1L;
        private static final Pattern COMPARISON = Pattern.compile("\\s*(\\w+)\\s*(==|!=|<=|>=|<|>)\\s*(?:'(\\w*)'|(-?[\\d.]+))\\s*");
        private final String expression;

        Comparisons(String expression) {
            this.expression = expression;
            for (String comparison : expression.split("\\|\\||&&")) {
                if (!COMPARISON.matcher(comparison).matches()) {
                    throw new IllegalArgumentException("Not a comparison: " + comparison);
                }
            }
        }

        @Override
        boolean holds(Event event, Context<Event> context) {
            // Not lazily: a missing field counts wherever it stands.
            boolean any = false;
            for (String alternative : expression.split("\\|\\|")) {
                boolean all = true;
                for (String comparison : alternative.split("&&")) {
                    Matcher parts = COMPARISON.matcher(comparison);
                    parts.matches();
                    JsonNode value = event.fields().get(parts.group(1));
                    if (value == null) {
                        return false;
                    }
                    all &= compare(value, parts);
                }
                any |= all;
            }
            return any;
        }

        private static boolean compare(JsonNode value, Matcher parts) {
            int order =
                    parts.group(3) != null
                            ? value.asText().compareTo(parts.group(3))
                            : Double.compare(value.asDouble(), Double.parseDouble(parts.group(4)));
            return switch (parts.group(2)) {
                case "==" -> order == 0;
                case "!=" -> order != 0;
                case "<" -> order < 0;
                case ">" -> order > 0;
                case "<=" -> order <= 0;
                default -> order >= 0;
            };
        }
    }

    private static final class Partial extends Condition {
        private static final long serialVersionUID = 1L;
        private final Condition first;
        private final String pattern;
        private final String op;
        private final String field;
        private final double value;

        Partial(Condition first, String pattern, String op, String field, double value) {
            this.first = first;
            this.pattern = pattern;
            this.op = op;
            this.field = field;
            this.value = value;
        }

        @Override
        boolean holds(Event event, Context<Event> context) throws Exception {
            if (!first.holds(event, context)) {
                return false;
            }
            double current = number(event);
            int count = 0;
            double sum = 0;
            double last = Double.NEGATIVE_INFINITY;
            for (Event taken : context.getEventsForPattern(pattern)) {
                count++;
                last = number(taken);
                sum += last;
            }
            return switch (op) {
                case "last_lt" -> current > last;
                case "count_lt" -> count < value;
                case "sum_lt" -> sum + current < value;
                default -> throw new IllegalArgumentException("Unknown operation: " + op);
            };
        }

        private double number(Event event) {
            JsonNode found = event.fields().get(field);
            return found == null ? 0 : found.asDouble();
        }
    }
}
