import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import org.apache.flink.api.common.serialization.SerializerConfig;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeutils.SimpleTypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.TypeSerializer;
import org.apache.flink.api.common.typeutils.TypeSerializerSnapshot;
import org.apache.flink.api.common.typeutils.base.TypeSerializerSingleton;
import org.apache.flink.core.memory.DataInputView;
import org.apache.flink.core.memory.DataOutputView;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** How real jobs carry events: as their position and their JSON. */
final class EventType extends TypeInformation<Event> {
    private static final long serialVersionUID = 1L;

    @Override
    public boolean isBasicType() {
        return false;
    }

    @Override
    public boolean isTupleType() {
        return false;
    }

    @Override
    public int getArity() {
        return 1;
    }

    @Override
    public int getTotalFields() {
        return 1;
    }

    @Override
    public Class<Event> getTypeClass() {
        return Event.class;
    }

    @Override
    public boolean isKeyType() {
        return false;
    }

    @Override
    public TypeSerializer<Event> createSerializer(SerializerConfig config) {
        return new Serializer();
    }

    @Override
    public String toString() {
        return "Event";
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof EventType;
    }

    @Override
    public int hashCode() {
        return 1;
    }

    @Override
    public boolean canEqual(Object other) {
        return other instanceof EventType;
    }

    static Event event(int position, JsonNode json) {
        Map<String, JsonNode> fields = new HashMap<>();
        json.properties().forEach(each -> fields.put(each.getKey(), each.getValue()));
        return new Event(position, fields);
    }

    static final class Serializer extends TypeSerializerSingleton<Event> {
        private static final long serialVersionUID = 1L;
        private static final ObjectMapper JSON = new ObjectMapper();

        @Override
        public boolean isImmutableType() {
            return true;
        }

        @Override
        public Event createInstance() {
            return new Event(0, Map.of());
        }

        @Override
        public Event copy(Event from) {
            return from;
        }

        @Override
        public Event copy(Event from, Event reuse) {
            return from;
        }

        @Override
        public int getLength() {
            return -1;
        }

        @Override
        public void serialize(Event event, DataOutputView target) throws IOException {
            target.writeInt(event.position());
            target.writeUTF(JSON.writeValueAsString(event.fields()));
        }

        @Override
        public Event deserialize(DataInputView source) throws IOException {
            return event(source.readInt(), JSON.readTree(source.readUTF()));
        }

        @Override
        public Event deserialize(Event reuse, DataInputView source) throws IOException {
            return deserialize(source);
        }

        @Override
        public void copy(DataInputView source, DataOutputView target) throws IOException {
            serialize(deserialize(source), target);
        }

        @Override
        public TypeSerializerSnapshot<Event> snapshotConfiguration() {
            return new Snapshot();
        }

        /** Public, because Flink creates it by name. */
        public static final class Snapshot extends SimpleTypeSerializerSnapshot<Event> {
            public Snapshot() {
                super(Serializer::new);
            }
        }
    }
}
