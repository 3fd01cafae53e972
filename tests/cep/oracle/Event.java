import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;

/** An event with its place in the order of feeding, which is how answers name it. */
record Event(int position, Map<String, JsonNode> fields) {}
