import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.cep.nfa.aftermatch.AfterMatchSkipStrategy;
import org.apache.flink.cep.pattern.MalformedPatternException;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.WithinType;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** Turns the JSON of a rule, in either dialect, into calls of Flink's pattern API. */
final class Rules {
    private final boolean nodesCarryAll;
    private final Set<String> names = new HashSet<>();
    private final AfterMatchSkipStrategy skip;

    private Rules(JsonNode root) {
        nodesCarryAll = !root.has("quantifier");
        if (nodesCarryAll) {
            skip = skipStrategy(root.get("nodes").get(0).get("afterMatchSkipStrategy"));
        } else {
            skip = skipStrategy(root.get("afterMatchStrategy"));
            names.add(root.get("name").asText());
            require(properties(root).equals(Set.of("SINGLE")), "a rule has no quantifier");
        }
    }

    static Pattern<Event, Event> pattern(JsonNode root) {
        return new Rules(root).chain(root);
    }

    private static void require(boolean condition, String message) {
        if (!condition) {
            throw new MalformedPatternException(message);
        }
    }

    private static boolean has(JsonNode node, String field) {
        return node.hasNonNull(field);
    }

    private static AfterMatchSkipStrategy skipStrategy(JsonNode strategy) {
        return switch (strategy.get("type").asText()) {
            case "NO_SKIP" -> AfterMatchSkipStrategy.noSkip();
            case "SKIP_TO_NEXT" -> AfterMatchSkipStrategy.skipToNext();
            case "SKIP_PAST_LAST_EVENT" -> AfterMatchSkipStrategy.skipPastLastEvent();
            case "SKIP_TO_FIRST" -> AfterMatchSkipStrategy.skipToFirst(strategy.get("patternName").asText());
            case "SKIP_TO_LAST" -> AfterMatchSkipStrategy.skipToLast(strategy.get("patternName").asText());
            default -> throw new MalformedPatternException("unknown strategy: " + strategy);
        };
    }

    private static Duration duration(JsonNode time) {
        return time == null || time.isNull()
                ? null
                : Duration.of(
                        time.get("size").asLong(),
                        time.get("unit").asText().equals("MILLISECONDS")
                                ? ChronoUnit.MILLIS
                                : ChronoUnit.valueOf(time.get("unit").asText()));
    }

    private static Set<String> properties(JsonNode node) {
        Set<String> found = new HashSet<>();
        node.get("quantifier").get("properties").forEach(each -> found.add(each.asText()));
        return found;
    }

    private Pattern<Event, Event> chain(JsonNode graph) {
        Pattern<Event, Event> last = null;
        Map<String, String> edges = new HashMap<>();
        graph.get("edges").forEach(each -> edges.put(each.get("target").asText(), each.get("type").asText()));
        for (JsonNode node : inOrder(graph)) {
            require(names.add(node.get("name").asText()), "a name is used twice: " + node.get("name"));
            last = append(last, edges.get(node.get("name").asText()), node);
        }
        return within(last, graph.get("window"));
    }

    /** The nodes as the edges chain them. */
    private static List<JsonNode> inOrder(JsonNode graph) {
        Map<String, JsonNode> nodes = new LinkedHashMap<>();
        graph.get("nodes").forEach(each -> nodes.put(each.get("name").asText(), each));
        Map<String, String> next = new HashMap<>();
        Set<String> targets = new HashSet<>();
        for (JsonNode edge : graph.get("edges")) {
            String source = edge.get("source").asText();
            String target = edge.get("target").asText();
            require(nodes.containsKey(source) && nodes.containsKey(target), "an edge has no such node: " + edge);
            require(next.put(source, target) == null, "two edges leave " + source);
            require(targets.add(target), "two edges lead to " + target);
        }
        List<String> first = nodes.keySet().stream().filter(each -> !targets.contains(each)).toList();
        require(first.size() == 1, "there must be one first node, not " + first);
        List<JsonNode> chain = new ArrayList<>();
        for (String name = first.get(0); name != null; name = next.get(name)) {
            chain.add(nodes.get(name));
        }
        require(chain.size() == graph.get("nodes").size(), "some nodes are not in the chain, or names are used twice");
        return chain;
    }

    private Pattern<Event, Event> append(Pattern<Event, Event> last, String edge, JsonNode node) {
        boolean composite = node.get("type").asText().equals("COMPOSITE");
        Pattern<Event, Event> pattern =
                composite
                        ? group(last, edge, chain(nodesCarryAll ? node.get("graph") : node))
                        : single(last, edge, node.get("name").asText());
        if (has(node, "condition") || !composite) {
            pattern.where(Condition.of(node.get("condition")));
        }
        quantify(pattern, node);
        return nodesCarryAll ? within(pattern, node.get("window")) : pattern;
    }

    @SuppressWarnings("unchecked")
    private Pattern<Event, Event> single(Pattern<Event, Event> last, String edge, String name) {
        if (last == null) {
            return Pattern.begin(name, skip);
        }
        return switch (edge) {
            case "STRICT" -> last.next(name);
            case "SKIP_TILL_NEXT" -> last.followedBy(name);
            case "SKIP_TILL_ANY" -> last.followedByAny(name);
            case "NOT_NEXT" -> last.notNext(name);
            case "NOT_FOLLOW" -> last.notFollowedBy(name);
            default -> throw new MalformedPatternException("unknown type of edge: " + edge);
        };
    }

    private Pattern<Event, Event> group(Pattern<Event, Event> last, String edge, Pattern<Event, Event> inner) {
        if (last == null) {
            return Pattern.begin(inner, skip);
        }
        return switch (edge) {
            case "STRICT" -> last.next(inner);
            case "SKIP_TILL_NEXT" -> last.followedBy(inner);
            case "SKIP_TILL_ANY" -> last.followedByAny(inner);
            default -> throw new MalformedPatternException("a group cannot stand behind an edge of type " + edge);
        };
    }

    private void quantify(Pattern<Event, Event> pattern, JsonNode node) {
        JsonNode quantifier = node.get("quantifier");
        JsonNode owner = nodesCarryAll ? node : quantifier;
        JsonNode times = has(owner, "times") ? owner.get("times") : null;
        Set<String> properties = properties(node);
        if (properties.contains("LOOPING")) {
            if (times == null) {
                pattern.oneOrMore();
            } else {
                pattern.timesOrMore(times.get("from").asInt(), duration(times.get("windowTime")));
            }
        }
        if (properties.contains("TIMES")) {
            int from = times.get("from").asInt();
            pattern.times(from, has(times, "to") ? times.get("to").asInt() : from, duration(times.get("windowTime")));
        }
        if (properties.contains("OPTIONAL")) {
            pattern.optional();
        }
        if (properties.contains("GREEDY")) {
            pattern.greedy();
        }
        switch (quantifier.get(nodesCarryAll ? "innerConsumingStrategy" : "consumingStrategy").asText()) {
            case "STRICT" -> pattern.consecutive();
            case "SKIP_TILL_ANY" -> pattern.allowCombinations();
            case "SKIP_TILL_NEXT" -> {}
            default -> throw new MalformedPatternException("unknown consuming strategy: " + quantifier);
        }
        if (has(owner, "untilCondition")) {
            pattern.until(Condition.of(owner.get("untilCondition")));
        }
    }

    private static Pattern<Event, Event> within(Pattern<Event, Event> pattern, JsonNode window) {
        return window == null || window.isNull()
                ? pattern
                : pattern.within(duration(window.get("time")), WithinType.valueOf(window.get("type").asText()));
    }
}
