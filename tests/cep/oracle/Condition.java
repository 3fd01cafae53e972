import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
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
        private final ArrayList<ArrayList<Comparison>> alternatives = new ArrayList<>();

        Comparisons(String expression) {
            for (String alternative : expression.split("\\|\\|")) {
                ArrayList<Comparison> all = new ArrayList<>();
                for (String comparison : alternative.split("&&")) {
                    all.add(Comparison.of(comparison));
                }
                alternatives.add(all);
            }
        }

        @Override
        boolean holds(Event event, Context<Event> context) {
            // Not lazily: a missing field counts wherever it stands.
            boolean any = false;
            for (List<Comparison> alternative : alternatives) {
                boolean all = true;
                for (Comparison comparison : alternative) {
                    JsonNode value = event.fields().get(comparison.field);
                    if (value == null) {
                        return false;
                    }
                    all &= comparison.holds(value);
                }
                any |= all;
            }
            return any;
        }
    }

    private record Comparison(String field, String operator, String text, double number) implements Serializable {
        private static final Pattern FORM =
                Pattern.compile("\\s*(\\w+)\\s*(==|!=|<=|>=|<|>)\\s*(?:'(\\w*)'|(-?[\\d.]+))\\s*");

        static Comparison of(String comparison) {
            Matcher parts = FORM.matcher(comparison);
            if (!parts.matches()) {
                throw new IllegalArgumentException("Not a comparison: " + comparison);
            }
            double number = parts.group(4) == null ? 0 : Double.parseDouble(parts.group(4));
            return new Comparison(parts.group(1), parts.group(2), parts.group(3), number);
        }

        boolean holds(JsonNode value) {
            int order = text != null ? value.asText().compareTo(text) : Double.compare(value.asDouble(), number);
            return switch (operator) {
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
